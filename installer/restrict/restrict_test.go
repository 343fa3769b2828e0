package restrict

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/lease"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

const practice = `
site: st-marys
ssl: false
clients: [10.0.0.0/16]
updates: { windows: ["Sun 02:00-05:00"], timezone: UTC }
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], recordings: /srv/valt }
`

// view is media1's own view of the site, with a plan of four steps.
type view struct {
	site    *site.Site
	offered error
}

func (v view) About() (*site.Site, site.Host) {
	h, _ := v.site.Host("media1")
	return v.site, h
}

func (v view) Secrets() map[string][]byte { return map[string][]byte{"licence": []byte("own")} }

func (v view) Plan(_ context.Context, version string) (*Plan, error) {
	if version != "6.5.0" && version != "6.4.2" {
		return nil, &problem.Error{Kind: problem.Trust, Doing: "judging release", Object: version, Err: errors.New("it is not verified")}
	}
	return &Plan{Plan: &plan.Plan{Hosts: []plan.HostPlan{
		{Host: "app1", Steps: []step.Spec{spec("health/app", "health", step.Apply, `{"checks":[{"name":"web","url":"http://127.0.0.1/","status":200}]}`)}},
		{Host: "media1", Steps: mine()},
	}}, Digest: "own-digest", State: release.State{Roles: map[string]release.RoleState{"root": {Version: 7}}},
		DrainMost: 30 * time.Minute, Offered: func(context.Context, string, bool) error { return v.offered },
		Drain: func(within string) (step.Spec, error) {
			return spec("drain", "drain", step.Apply, `{"session_ports":[1935],"within":"`+within+`"}`), nil
		}}, nil
}

func spec(id string, kind step.KindName, half step.Half, params string) step.Spec {
	return step.Spec{ID: id, Kind: kind, Title: id, Half: half, Disrupts: step.Nothing, Params: json.RawMessage(params)}
}

func mine() []step.Spec {
	return []step.Spec{
		spec("image/engine", "image", step.Fetch, `{"digest":"sha256:aa"}`),
		spec("file/etc/valt.conf", "file", step.Apply, `{"path":"/etc/valt.conf","content":"x"}`),
		spec("container/engine", "container", step.Apply, `{"image":"sha256:aa"}`),
		spec("health/media", "health", step.Apply, `{"checks":[]}`),
	}
}

func drained() []step.Spec {
	return slices.Insert(mine(), 1, spec("drain", "drain", step.Apply, `{"session_ports":[1935],"within":"5m0s"}`))
}

// judgedHost is a host with a judge, in its maintenance window, and what came through.
type judgedHost struct {
	agent.Handlers
	judge    *Judge
	at       time.Time
	open     bool // a window is, from two to five o'clock
	ahead    bool // it is one of the nights before
	synced   bool
	past     []txn.Summary // newest first
	differs  bool          // from its plan
	disturbs bool          // what differs does
	ill      int           // so many looks find its health amiss
	view     *view
	looks    time.Duration // how long a look takes

	mu       sync.Mutex
	started  []agent.TxnStartRequest
	inspects []agent.InspectRequest
	confirms []agent.TxnConfirmRequest
	restarts []agent.TxnRestartRequest
	answers  []step.Answer
	survey   survey.Request
	answered int
}

func (h *judgedHost) Window(time.Time) (open, closes time.Time, ok bool) {
	if !h.open {
		return time.Time{}, time.Time{}, false
	}
	return opens(), opens().Add(3 * time.Hour), true
}
func (h *judgedHost) Ahead(time.Time) bool  { return h.ahead }
func (h *judgedHost) Next(time.Time) string { return "the next one opens on Sunday" }

// opens is when the window does.
func opens() time.Time { return time.Date(2026, 11, 29, 2, 0, 0, 0, time.UTC) }

func host(t *testing.T) *judgedHost {
	t.Helper()
	s, err := site.Parse("site.yaml", []byte(practice), "")
	if err != nil {
		t.Fatal(err)
	}
	h := &judgedHost{at: opens().Add(time.Hour), open: true, synced: true, differs: true, disturbs: true, view: &view{site: s}}
	now := func() time.Time { return h.at }
	h.judge = &Judge{Own: h, Hours: h, Clock: Clock{Now: now}, Home: "app1", Fence: func() (int64, error) { return 41, nil },
		Transactions: func() ([]txn.Summary, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return slices.Clone(h.past), nil
		},
		Record: keyuse.File{Dir: t.TempDir(), Now: now, Who: "the schedule's key of app1"}}
	h.Handlers = h.judge.Handlers(agent.Handlers{
		Facts: func(context.Context, agent.FactsRequest) (agent.FactsReply, error) {
			return agent.FactsReply{Facts: facts.Facts{Clock: facts.Clock{Synchronized: h.synced}, Installed: &facts.Installed{Release: "6.4.2"}}}, nil
		},
		TxnStart: h.begin,
		Inspect:  h.inspect,
		Survey: func(_ context.Context, r survey.Request) (survey.Reply, error) {
			h.survey = r
			return survey.Reply{}, nil
		},
		TxnConfirm: func(_ context.Context, r agent.TxnConfirmRequest) (struct{}, error) {
			h.confirms = append(h.confirms, r)
			h.answered++
			return struct{}{}, nil
		},
		TxnRestart: func(_ context.Context, r agent.TxnRestartRequest) (agent.TxnReply, error) {
			h.restarts = append(h.restarts, r)
			h.answered++
			return agent.TxnReply{ID: r.ID}, nil
		},
		Answer: func(_ context.Context, a step.Answer) (struct{}, error) {
			h.answers = append(h.answers, a)
			h.answered++
			return struct{}{}, nil
		},
		Lease: func(context.Context, agent.LeaseRequest) (agent.LeaseReply, error) {
			h.answered++
			return agent.LeaseReply{}, nil
		},
		Engine: func(context.Context, wowza.Access) (wowza.State, error) { h.answered++; return wowza.State{}, nil },
		Probe: func(context.Context, probe.Request, func(probe.Outcome) error) error {
			h.answered++
			return nil
		},
	})
	return h
}

// begin is the host's own TxnStart: what it begins is at work from then on.
func (h *judgedHost) begin(_ context.Context, r agent.TxnStartRequest) (agent.TxnReply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.started = append(h.started, r)
	q := r.Request
	id := fmt.Sprintf("20261129T0300%02dZ-00000000", len(h.past))
	h.past = slices.Insert(h.past, 0, txn.Summary{ID: id, Key: q.Key, Who: q.Who, State: txn.StateRunning, Stage: q.Stage, Release: q.Release, Started: h.at})
	return agent.TxnReply{ID: id}, nil
}

func (h *judgedHost) inspect(_ context.Context, r agent.InspectRequest) (agent.InspectReply, error) {
	time.Sleep(h.looks)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inspects = append(h.inspects, r)
	reply := agent.InspectReply{Findings: make([]agent.StepFinding, len(r.Steps))}
	for i, s := range r.Steps {
		f := &reply.Findings[i].Finding
		switch {
		case s.Kind == docker.KindHealth && h.ill > 0:
			h.ill--
			f.Change, f.Diff = true, "- 502"
		case s.Kind == "container" && h.differs:
			f.Change = true
			if h.disturbs {
				f.Disrupts = step.Container
			}
		}
	}
	return reply, nil
}

// ends has the transaction that is at work end.
func (h *judgedHost) ends(as txn.State, fetched bool) {
	h.past[0].State, h.past[0].Fetched = as, fetched
}

func (h *judgedHost) About() (*site.Site, site.Host) { return h.view.About() }
func (h *judgedHost) Secrets() map[string][]byte     { return h.view.Secrets() }
func (h *judgedHost) Plan(ctx context.Context, version string) (*Plan, error) {
	return h.view.Plan(ctx, version)
}

// refusals are why the record says that uses were refused, newest first.
func (h *judgedHost) refusals() (all []keyuse.Reason) {
	if r := keyuse.Read(h.judge.Record.Dir, keyuse.Kept); r != nil {
		for _, u := range r.Uses {
			if u.Refused != "" {
				all = append(all, u.Refused)
			}
		}
	}
	return all
}

func update() txn.Request {
	return txn.Request{Schema: txn.Schema, Site: "st-marys", Host: "media1", Roles: []string{"media"}, Release: "6.5.0", Policy: txn.Allow,
		RunID: "20261129T025900Z-abcdef", Key: "ABCDEF", Confirm: "10m0s", Fence: 42, Steps: drained()}
}

func (h *judgedHost) start(t *testing.T, r txn.Request) error {
	t.Helper()
	_, err := h.TxnStart(t.Context(), agent.TxnStartRequest{Request: r, Secrets: map[string][]byte{"licence": []byte("theirs")},
		TrustedState: &release.State{Roles: map[string]release.RoleState{"root": {Version: 999}}}})
	return err
}

func TestAnUpdateIsTakenWithTheHostsOwnSecretsAndTrust(t *testing.T) {
	h := host(t)
	if err := h.start(t, update()); err != nil {
		t.Fatal(err)
	}
	got, id := h.started[0], h.past[0].ID
	if string(got.Secrets["licence"]) != "own" || got.TrustedState == nil || got.TrustedState.Roles["root"].Version == 999 {
		t.Errorf("it came through with %s and %+v", got.Secrets, got.TrustedState)
	}
	if _, err := h.TxnRestart(t.Context(), agent.TxnRestartRequest{ID: id}); err != nil || h.answered != 1 {
		t.Errorf("what was begun cannot be resumed: %v", err)
	}
	h.past[0].State = txn.StateUnconfirmed
	if _, err := h.TxnConfirm(t.Context(), agent.TxnConfirmRequest{ID: id, Fence: 42}); err != nil || h.answered != 2 {
		t.Errorf("what was begun cannot be confirmed: %v", err)
	}
	h.ends(txn.StateDone, true)
	if err := h.start(t, stage()); err != nil {
		t.Errorf("fetching ahead: %v", err)
	}
}

// stage is what a look ahead asks for.
func stage() txn.Request {
	r := update()
	r.Stage, r.Confirm, r.Steps, r.Key = true, "", mine()[:1], ""
	return r
}

// Without a drain nothing may be disturbed, whatever is asked for.
func TestWithoutADrainWhatDisturbsIsDeferred(t *testing.T) {
	h := host(t)
	r := update()
	r.Steps = mine()
	if err := h.start(t, r); problem.KindOf(err) != problem.Trust || len(h.started) > 0 {
		t.Errorf("what disturbs is begun without a drain: %v", err)
	}
	h.disturbs = false
	if err := h.start(t, r); err != nil {
		t.Fatal(err)
	}
	if got := h.started[0].Request.Policy; got != txn.Defer {
		t.Errorf("it is to be done with the policy %q", got)
	}
}

func TestEveryOtherTransactionIsRefused(t *testing.T) {
	bad := map[string]func(*txn.Request){
		"another site":              func(r *txn.Request) { r.Site = "elsewhere" },
		"another host":              func(r *txn.Request) { r.Host = "app1" },
		"another role":              func(r *txn.Request) { r.Roles = []string{"app", "media"} },
		"a release that is none":    func(r *txn.Request) { r.Release = "6.4.0" },
		"a part":                    func(r *txn.Request) { r.Partial = true },
		"no way back":               func(r *txn.Request) { r.Confirm = "" },
		"another time to confirm":   func(r *txn.Request) { r.Confirm = "1h0m0s" },
		"a run of no name":          func(r *txn.Request) { r.RunID = "pat was here" },
		"a request of no name":      func(r *txn.Request) { r.Key = "../x" },
		"an apply half without end": func(r *txn.Request) { r.ApplyWithin = "100h0m0s" },
		"a time that is none":       func(r *txn.Request) { r.ApplyWithin = "soon" },
		"a token without end":       func(r *txn.Request) { r.Fence = 1 << 62 },
		"a step more":               func(r *txn.Request) { r.Steps = append(r.Steps, spec("file/x", "file", step.Apply, `{}`)) },
		"a step less":               func(r *txn.Request) { r.Steps = r.Steps[:4] },
		"a step alone":              func(r *txn.Request) { r.Steps = r.Steps[2:3] },
		"another order":             func(r *txn.Request) { r.Steps[2], r.Steps[3] = r.Steps[3], r.Steps[2] },
		"another image":             func(r *txn.Request) { r.Steps[0].Params = json.RawMessage(`{"digest":"sha256:bb"}`) },
		"another kind":              func(r *txn.Request) { r.Steps[0].Kind = "file" },
		"another half":              func(r *txn.Request) { r.Steps[0].Half = step.Apply },
		"another disruption":        func(r *txn.Request) { r.Steps[3].Disrupts = step.Host },
		"a drain that cuts": func(r *txn.Request) {
			r.Steps[1].Params = json.RawMessage(`{"session_ports":[1935],"within":"5m0s","interrupt":true}`)
		},
		"a drain of other ports":    func(r *txn.Request) { r.Steps[1].Params = json.RawMessage(`{"session_ports":[],"within":"5m0s"}`) },
		"a step in a drain's dress": func(r *txn.Request) { r.Steps[1] = spec("drain", "file", step.Apply, `{"within":"5m0s"}`) },
		"staging what applies":      func(r *txn.Request) { r.Stage, r.Confirm, r.Steps = true, "", mine() },
		"staging something else": func(r *txn.Request) {
			r.Stage, r.Confirm, r.Steps = true, "", []step.Spec{spec("file/x", "file", step.Fetch, `{}`)}
		},
		"a token too far":  func(r *txn.Request) { r.Fence = 41 + lease.Jump + 1 },
		"a negative token": func(r *txn.Request) { r.Fence = -1 << 62 },
		"nothing":          func(r *txn.Request) { r.Steps = nil },
	}
	for name, change := range bad {
		t.Run(name, func(t *testing.T) {
			h := host(t)
			r := update()
			change(&r)
			if err := h.start(t, r); problem.KindOf(err) != problem.Trust || len(h.started) > 0 {
				t.Errorf("got %v, and %d were begun", err, len(h.started))
			}
		})
	}
}

func TestOnlyTheHostsOwnStepsLook(t *testing.T) {
	h := host(t)
	outside, err := docker.HealthFrom(spec("health/app", "health", step.Apply, `{"checks":[{"name":"web","url":"http://127.0.0.1/","status":200}]}`), "10.0.4.10")
	if err != nil {
		t.Fatal(err)
	}
	good := [][]step.Spec{mine(), mine()[3:], {outside}, nil}
	for _, steps := range good {
		if _, err := h.Inspect(t.Context(), agent.InspectRequest{Release: "6.5.0", Steps: steps, Secrets: map[string][]byte{"licence": []byte("theirs")}}); err != nil {
			t.Errorf("%v: %v", steps, err)
		}
	}
	for _, r := range h.inspects {
		if string(r.Secrets["licence"]) != "own" {
			t.Errorf("steps look with %s", r.Secrets)
		}
	}
	elsewhere, err := docker.HealthFrom(outside, "10.9.9.9")
	if err != nil {
		t.Fatal(err)
	}
	shadow := spec("file/etc/valt.conf", "file", step.Apply, `{"path":"/etc/shadow","content":"x"}`)
	for name, r := range map[string]agent.InspectRequest{
		"another file":      {Release: "6.5.0", Steps: []step.Spec{shadow}},
		"health elsewhere":  {Release: "6.5.0", Steps: []step.Spec{elsewhere}},
		"no release":        {Steps: mine()},
		"an unsigned one":   {Release: "6.9.9", Steps: mine()},
		"one among its own": {Release: "6.5.0", Steps: append(mine(), shadow)},
	} {
		if _, err := h.Inspect(t.Context(), r); problem.KindOf(err) != problem.Trust {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatTheKeyMayNotAsk(t *testing.T) {
	h := host(t)
	ctx := t.Context()
	const persons = "20261128T000000Z-00000000"
	h.past = []txn.Summary{{ID: persons, State: txn.StateUnconfirmed, Key: "KEYOFAPERSON"}}
	if h.Logs != nil || h.Listen != nil || h.Streams != nil || !h.NoCarry {
		t.Error("logs, listeners, streams or tunnels are served")
	}
	refusals := map[string]func() error{
		"a person's transaction, confirmed": func() error {
			_, err := h.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: persons})
			return err
		},
		"a person's transaction, taken back": func() error {
			_, err := h.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: persons, Undo: "theft"})
			return err
		},
		"a person's transaction, resumed": func() error {
			_, err := h.TxnRestart(ctx, agent.TxnRestartRequest{ID: persons})
			return err
		},
		"a name that climbs": func() error {
			_, err := h.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: "../begun"})
			return err
		},
		"rules of a person's on trial": func() error { _, err := h.Answer(ctx, step.Answer{}); return err },
		"the lease":                    func() error { _, err := h.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseTake}); return err },
		"breaking the lease":           func() error { _, err := h.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseBreak}); return err },
		"a token without end": func() error {
			_, err := h.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseFence, Token: 1 << 62})
			return err
		},
		"a token too far": func() error {
			_, err := h.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseFence, Token: 41 + lease.Jump + 1})
			return err
		},
		"another engine": func() error {
			_, err := h.Engine(ctx, wowza.Access{URL: "http://10.9.9.9/", PasswordFile: "/etc/shadow"})
			return err
		},
		"an option of apt": func() error {
			_, err := h.Survey(ctx, survey.Request{Packages: []string{"-oAPT::Update::Pre-Invoke::=id"}})
			return err
		},
		"another machine": func() error {
			return h.Probe(ctx, probe.Request{Specs: []probe.Spec{{Host: "10.9.9.9", Port: 22, Protocol: "tcp"}}}, nil)
		},
		"what is no blob of the registry": func() error {
			return h.Probe(ctx, probe.Request{Specs: []probe.Spec{{Ask: probe.AskBlob, Host: "apt.ipivs.com", Port: 443, Protocol: "tcp", Path: "/v2/../secret"}}}, nil)
		},
		"another proxy": func() error {
			return h.Probe(ctx, probe.Request{Specs: []probe.Spec{{Host: "apt.ipivs.com", Port: 443, Protocol: "tcp", Proxy: "http://10.9.9.9:3128"}}}, nil)
		},
	}
	for name, try := range refusals {
		if err := try(); problem.KindOf(err) != problem.Trust || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h.answered > 0 {
		t.Errorf("%d refused calls came through", h.answered)
	}
}

func TestWhatTheKeyAsksIsCutDownToWhatItNeeds(t *testing.T) {
	h, ctx := host(t), t.Context()
	if _, err := h.Survey(ctx, survey.Request{Packages: []string{"valt-host=6.5.0-1"}, Write: []string{"/srv/valt"}, Certificates: []string{"/etc/shadow"}, EnginePasswords: []string{"/etc/shadow"}}); err != nil {
		t.Error(err)
	}
	if got := h.survey; len(got.Write)+len(got.Certificates)+len(got.EnginePasswords) > 0 || !got.NoWrite || len(got.Packages) != 1 {
		t.Errorf("the survey may do more than it needs: %+v", got)
	}
	if _, err := h.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseFence, Token: 42}); err != nil {
		t.Error(err)
	}
	if err := h.Probe(ctx, probe.Request{Specs: []probe.Spec{{Host: "apt.ipivs.com", Port: 443, Protocol: "tcp"}}}, nil); err != nil {
		t.Error(err)
	}
}

// While a transaction of a person's runs here, the key raises no token and begins nothing; what was
// begun with it goes on, by a token of its next run.
func TestTheKeyLeavesAPersonsTransactionAlone(t *testing.T) {
	h, ctx := host(t), t.Context()
	token := func() error {
		_, err := h.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseFence, Token: 42})
		return err
	}
	h.past = []txn.Summary{{ID: "20261128T000000Z-00000000", Who: "pat@laptop", State: txn.StateRunning, Key: "KEYOFAPERSON"}}
	for name, try := range map[string]func() error{
		"a token":   token,
		"an update": func() error { return h.start(t, update()) },
	} {
		if err := try(); problem.KindOf(err) != problem.Locked || !strings.Contains(err.Error(), "pat@laptop") {
			t.Errorf("%s beside a person's transaction: %v", name, err)
		}
	}
	h.past = nil
	if err := h.start(t, update()); err != nil {
		t.Fatal(err)
	}
	h.past[0].State = txn.StateUnconfirmed
	for name, try := range map[string]func() error{
		"a token": token,
		"an answer": func() error {
			_, err := h.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: h.past[0].ID, Fence: 42})
			return err
		},
		"a restart": func() error {
			_, err := h.TxnRestart(ctx, agent.TxnRestartRequest{ID: h.past[0].ID, Fence: 42})
			return err
		},
	} {
		if err := try(); err != nil {
			t.Errorf("%s beside its own: %v", name, err)
		}
	}
	before := h.answered
	if _, err := h.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseRelease, Token: 42}); err != nil || h.answered != before+1 {
		t.Errorf("a run that ends says so, and is told %v", err)
	}
}
