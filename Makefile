# make demo: a practice site of real hosts, installed and serving.  make test: everything that is checked on every change.
# Both need root on a Debian or Ubuntu machine with Go, git and apt; the rest is installed.

SHELL       := /bin/bash
GO          ?= go
BUILD       := $(GO) build -buildvcs=auto -ldflags '-s -w'
STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEADCODE    := $(GO) run golang.org/x/tools/cmd/deadcode@v0.51.0
LAB         := bin/valtlab
SEED        ?= $(shell date +%s)
COUNTS      := $(CURDIR)/dist/counts

# One set of flags for all, so that building, vetting, staticcheck and the tests share what
# they compile. The race detector alone compiles everything once more.
export CGO_ENABLED := 0
export GOFLAGS     := $(strip -trimpath $(shell $(GO) env GOFLAGS))
TEST               := $(GO) test -vet=off -p 4 -parallel 8 -timeout 30m -ldflags '-s -w'
RACE_TEST          := CGO_ENABLED=1 $(TEST) -race

# Where goroutines are started: a test holds this against the code. Those that take longest come
# first, so that none is left to run alone at the end.
RACE := updater installer/remote cmd/valtctl installer/step/docker installer cmd/valtlab/mutants repos/bundle repos/plain \
	cmd/valtlab/bench cmd/valtlab/containers cmd/valtlab/images cmd/valtlab/lab cmd/valtlab/relay cmd/valtlab/scenario \
	cmd/valtlab/scenario/cases cmd/valtlab/standin/app cmd/valtlab/standin/camera cmd/valtlab/standin/engine installer/agent \
	installer/check installer/facts installer/fleet installer/host installer/probe installer/status installer/step installer/step/database \
	installer/survey repos/apt repos/sleep updater/schedule

# Which of these have tests that compute alone: with -short those are skipped.
ALONE := cmd/valtctl cmd/valtlab/mutants installer/agent repos/bundle

.PHONY: all build demo test unit race stories scenarios campaign whole mistakes mutants reliability bench lint fuzz down clean

all: build

build:
	$(BUILD) -o bin/ ./cmd/...

## demo: the main job on the practice site
demo: build
	$(LAB) up
	XDG_STATE_HOME=$(CURDIR)/.lab/state bin/valtctl install --site .lab/site.yaml --yes
	$(LAB) visit

## test: lint, unit tests, and samples of the core and of other scenarios that the seed draws. The
## practice site waits most of the time, so it is brought up and used while the unit tests compute.
test: build lint
	$(LAB) prepare
	$(MAKE) -j 2 unit scenarios

## unit: every test, with the race detector where goroutines are started, but for those that
## compute alone. lint has vetted already, and many packages wait more than they compute.
unit: export VALTCTL_TEST_EVERYTHING := 1
unit:
	$(TEST) $$($(GO) list ./... | grep -v -x -F $(patsubst %,-e ipivs.com/valtctl/%,$(filter-out $(ALONE),$(RACE))))
	$(RACE_TEST) -short $(addprefix ./,$(RACE))

## race: everything with the race detector and at every point; of what a site lives through some
## hundreds of stories, since ten thousand take a day so
race: export VALTCTL_TEST_EVERYTHING := 1
race: export VALTCTL_TEST_COUNTS := $(COUNTS)
race: build
	mkdir -p $(dir $(COUNTS)) && rm -f $(COUNTS)
	$(LAB) prepare
	VALTCTL_TEST_WHOLE=1 $(RACE_TEST) -timeout 60m $$($(GO) list ./... | grep -v -x -F ipivs.com/valtctl/updater)
	VALTCTL_TEST_RUNS=300 $(RACE_TEST) -timeout 60m ./updater

## stories: all that a site lives through, which takes an hour or two
stories: export VALTCTL_TEST_EVERYTHING := 1
stories: export VALTCTL_TEST_WHOLE := 1
stories: export VALTCTL_TEST_COUNTS := $(COUNTS)
stories:
	mkdir -p $(dir $(COUNTS))
	nice $(TEST) -timeout 6h ./updater

## scenarios: SEED draws, and is printed with what runs and what does not
scenarios:
	$(LAB) up
	$(LAB) scenario run core --sample --seed $(SEED)

## campaign: everything whole, beside each other since the practice site waits most of the time;
## goes on where it stopped. SCENARIOS names those that are run instead of all
SCENARIOS ?= all
campaign: build race
	$(MAKE) -j 3 stories whole mistakes
	$(LAB) reliability --keep --mistakes --counts $(COUNTS)

## whole: every scenario on a site of three media servers, then those of the matrix on each Ubuntu
## with each image store. A suite that moves and cannot be built today is said and left out
whole: SEEDED := $(if $(filter command% environment%,$(origin SEED)),--seed $(SEED))
whole:
	$(LAB) up --media 3
	$(LAB) scenario run $(SCENARIOS) --resume $(SEEDED)
	$(if $(filter all,$(SCENARIOS)),$(LAB) scenario matrix --resume $(SEEDED))

mistakes:
	nice $(LAB) mutants --resume

## mutants: break each promise of testdata/mutants, and see whether a test notices
mutants: build
	$(LAB) mutants

## reliability: write docs/reliability.md anew
reliability: build
	$(LAB) reliability

## bench: valtctl beside the tool a user would otherwise take
bench: build
	$(LAB) up
	XDG_STATE_HOME=$(CURDIR)/.lab/state $(LAB) bench
	$(LAB) bench bundle
	$(GO) test -run '^$$' -bench . -benchtime 1s ./repos/... ./installer/...

## lint: what is left unused is removed; a test asks these whether a role is described
ASKED_BY_TESTS := RoleEnd|Guides|Mount
lint:
	@test -z "$$(gofmt -l cmd installer repos updater)" || { gofmt -l cmd installer repos updater; echo "run gofmt -w on these"; exit 1; }
	$(GO) vet -tags standin ./...
	$(STATICCHECK) -tags standin ./...
	@dead=$$($(DEADCODE) -tags standin ./cmd/... | grep -v -E 'func: ($(ASKED_BY_TESTS))$$'); test -z "$$dead" || { echo "$$dead"; echo "nothing calls these but tests: remove them"; exit 1; }

## fuzz: ten seconds for each fuzz target
fuzz:
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime 10s $$pkg || exit 1; \
	  done; done

down:
	$(LAB) down

clean:
	rm -rf bin dist
