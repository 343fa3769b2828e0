package apt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// transaction is one Apply of a packages step.
type transaction struct {
	h      *step.Machine
	wait   waiting
	waited time.Duration // for locks, so far
	total  int64         // bytes to download
	more   []string      // apt's options where it reads a bundle
	secret string        // names the one that tells where the bundle answers; empty: none is read
	given  step.Carried  // what apt was given of it
}

func newTransaction(h *step.Machine, w waiting) *transaction { return &transaction{h: h, wait: w} }

// Environment makes every program that apt starts silent: debconf, ucf, listchanges
// and needrestart ask nobody and restart nothing; messages are the ones recognised here.
func Environment() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
		"DEBIAN_FRONTEND=noninteractive", "DEBIAN_PRIORITY=critical", "UCF_FORCE_CONFFOLD=1",
		"APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_SUSPEND=1", "LC_ALL=C.UTF-8",
	}
}

// aptGet is apt-get's argv. Phased updates are always in: a rollout installs one set
// of versions, not what each host's machine-id draws. Recommended packages are not:
// a release names what it needs.
func aptGet(args ...string) []string {
	return append([]string{"apt-get", "-o", "APT::Get::Always-Include-Phased-Updates=true", "-o", "APT::Install-Recommends=false",
		"-o", "APT::Get::AutomaticRemove=false", "-o", "APT::Keep-Downloaded-Packages=true", "-o", "Acquire::Retries=3"}, args...)
}

// installOptions keep what an administrator changed (conffold), take the package's
// default where it has one (confdef), and let progress be read. The descriptor of the
// progress is one of its own: apt closes it for dpkg (apt's install-progress.cc), and
// maintainer scripts without a standard output fail in ways of their own.
func installOptions() []string {
	return []string{"-y", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
		"-o", "Dpkg::Use-Pty=0", "-o", "APT::Status-Fd=3"}
}

// changeLimit ends a package's script that never ends.
const changeLimit = 2 * time.Hour

// fetchLimit ends a download that never ends: a release over a slow line.
const fetchLimit = 24 * time.Hour

// run runs apt or dpkg when no lock is held, and again if a lock was taken just before.
func (t *transaction) run(ctx context.Context, argv []string) (step.Output, error) {
	return t.runUnder(ctx, ctx, fetchLimit, argv)
}

// runToEnd is run for what changes packages: once begun it is not interrupted by
// who asked for it, since half an installation is worse than either whole.
func (t *transaction) runToEnd(ctx context.Context, argv []string) (step.Output, error) {
	return t.runUnder(ctx, context.WithoutCancel(ctx), changeLimit, argv)
}

// runUnder waits for locks under one context and runs under another.
func (t *transaction) runUnder(wait, run context.Context, within time.Duration, argv []string) (step.Output, error) {
	for {
		if err := t.awaitLocks(wait); err != nil {
			return step.Output{}, err
		}
		if wait.Err() != nil {
			return step.Output{}, fmt.Errorf("running %s: %w", argv[0], context.Cause(wait))
		}
		out, err := t.h.Run.Run(run, step.Command{Argv: t.with(argv), Env: Environment(), Status: t.line, Within: within})
		if err != nil && t.renewed(wait, out) {
			continue
		}
		if err == nil || !lockedMessage.Match(out.Stderr) {
			return out, err
		}
		if err := t.pause(wait, "another package manager took a lock first"); err != nil {
			return out, err
		}
	}
}

// ask runs what only reads and takes no lock.
func (t *transaction) ask(ctx context.Context, argv []string) (step.Output, error) {
	return t.h.Run.Run(ctx, step.Command{Argv: t.with(argv), Env: Environment()})
}

// with adds the options of this transaction to a command of apt.
func (t *transaction) with(argv []string) []string {
	if len(t.more) == 0 || argv[0] != "apt-get" && argv[0] != "apt-cache" {
		return argv
	}
	return slices.Concat(argv[:1], t.more, argv[1:])
}

// line turns apt's status lines into progress.
func (t *transaction) line(line string) {
	s, ok := parseStatusLine(line)
	if !ok {
		return
	}
	p := step.Progress{Text: fmt.Sprintf("%s (%.0f%%)", s.text, s.percent)}
	if s.kind == "dlstatus" {
		p.Text = s.text
		p.Total = t.total
		p.Done = int64(float64(t.total) * s.percent / 100)
	}
	t.h.Report(p)
}

// statusLine is one line of APT::Status-Fd (apt's README.progress-reporting).
type statusLine struct {
	kind    string // dlstatus, pmstatus, pmerror, pmconffile
	percent float64
	text    string
}

// parseStatusLine reads "kind:package:percent:text". The package may hold a colon itself.
func parseStatusLine(line string) (statusLine, bool) {
	kind, rest, found := strings.Cut(line, ":")
	switch kind {
	case "dlstatus", "pmstatus", "pmerror", "pmconffile":
	default:
		return statusLine{}, false
	}
	for found {
		_, rest, found = strings.Cut(rest, ":")
		number, text, _ := strings.Cut(rest, ":")
		if percent, err := strconv.ParseFloat(number, 64); err == nil && percent >= 0 && percent <= 100 {
			return statusLine{kind, percent, strings.TrimSpace(text)}, true
		}
	}
	return statusLine{}, false
}

// awaitCloudInit lets a new machine's first set-up finish: it installs packages too.
// That cloud-init itself failed (exit 1 and 2) is not this step's business.
func (t *transaction) awaitCloudInit(ctx context.Context) error {
	for _, path := range []string{"/usr/bin/cloud-init", "/run/cloud-init"} {
		if _, err := os.Stat(t.h.Path(path)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	limit, cancel := context.WithTimeout(ctx, t.wait.locks)
	defer cancel()
	t.h.Report(step.Progress{Text: "waiting for cloud-init"})
	if _, err := t.ask(limit, []string{"cloud-init", "status", "--wait"}); err != nil && limit.Err() != nil {
		return &problem.Error{Doing: "waiting for", Object: "cloud-init", Err: limit.Err(),
			Fix: "See what it does with: cloud-init status --long. Then run valtctl resume."}
	}
	return nil
}

const listsMemo = "apt lists"

// update refreshes the lists, once a run for the same sources. Anything short of
// every source read is an error: apt's own default is a warning and yesterday's list.
func (t *transaction) update(ctx context.Context) error {
	sources, err := t.sources()
	if err != nil {
		return err
	}
	if done, ok := t.h.Memo.Load(listsMemo); ok && done == sources {
		return nil
	}
	t.h.Report(step.Progress{Text: "refreshing apt's lists"})
	if out, err := t.run(ctx, aptGet("update", "--error-on=any")); err != nil {
		return aptError("refreshing", "apt's lists", out, err)
	}
	t.h.Memo.Store(listsMemo, sources)
	return nil
}

// sources tells two states of the source files apart by names, sizes and times.
func (t *transaction) sources() (string, error) {
	folder := sourcesFolder
	if len(t.more) > 0 {
		folder = carriedSources
	}
	files, err := filepath.Glob(t.h.Path(folder + "/*"))
	if err != nil {
		return "", fmt.Errorf("listing apt's sources: %w", err)
	}
	var out strings.Builder
	for _, file := range append(files, t.h.Path("/etc/apt/sources.list")) {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintf(&out, "%s %d %d\n", file, info.Size(), info.ModTime().UnixNano())
		}
	}
	return out.String(), nil
}

// unmet is apt's line for a relation that does not hold (apt-private's ShowBroken).
var unmet = regexp.MustCompile(`^\S+ : (Pre-Depends|Depends|Conflicts|Breaks): `)

// aptError picks from apt's output the lines that say what is wrong.
func aptError(doing, object string, out step.Output, err error) error {
	var lines []string
	for line := range strings.Lines(string(out.Stdout) + "\n" + string(out.Stderr)) {
		line = strings.TrimSpace(line)
		if s, ok := parseStatusLine(line); ok && s.kind == "pmerror" {
			line = s.text
		} else if !strings.HasPrefix(line, "E: ") && !strings.HasPrefix(line, "dpkg: error") && !unmet.MatchString(line) {
			continue
		}
		lines = appendNew(lines, line)
	}
	if len(lines) > 0 {
		err = fmt.Errorf("%w\n%s", err, strings.Join(lines, "\n"))
	}
	return &problem.Error{Doing: doing, Object: object, Err: err,
		Fix: "What was already done is kept. Mend the cause, then run valtctl resume."}
}
