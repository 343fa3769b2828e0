package restrict

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/agent"
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
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], recordings: /srv/valt }
`

// view is media1's own view of the site, with a plan of four steps.
type view struct{ site *site.Site }

func (v view) About() (*site.Site, site.Host) {
	h, _ := v.site.Host("media1")
	return v.site, h
}

func (v view) Secrets() map[string][]byte { return map[string][]byte{"licence": []byte("own")} }

func (v view) Plan(_ context.Context, version string) (*Plan, error) {
	if version != "6.5.0" {
		return nil, &problem.Error{Kind: problem.Trust, Doing: "judging release", Object: version, Err: errors.New("it is not verified")}
	}
	return &Plan{Plan: &plan.Plan{Hosts: []plan.HostPlan{
		{Host: "app1", Steps: []step.Spec{spec("health/app", "health", step.Apply, `{"checks":[{"name":"web","url":"http://127.0.0.1/","status":200}]}`)}},
		{Host: "media1", Steps: mine()},
	}}, State: release.State{Roles: map[string]release.RoleState{"root": {Version: 7}}},
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

// judged is a judge and what came through it.
type judgedHost struct {
	agent.Handlers
	started  []agent.TxnStartRequest
	inspects []agent.InspectRequest
	survey   survey.Request
	answered int
	// unfinished are transactions that are not over.
	unfinished []string
}

func host(t *testing.T) *judgedHost {
	t.Helper()
	s, err := site.Parse("site.yaml", []byte(practice), "")
	if err != nil {
		t.Fatal(err)
	}
	h := &judgedHost{}
	j := &Judge{Own: view{s}, Dir: filepath.Join(t.TempDir(), "begun"), Fence: func() (int64, error) { return 41, nil },
		Unfinished: func() ([]string, error) { return h.unfinished, nil }}
	h.Handlers = j.Handlers(agent.Handlers{
		TxnStart: func(_ context.Context, r agent.TxnStartRequest) (agent.TxnReply, error) {
			h.started = append(h.started, r)
			return agent.TxnReply{ID: "begun-here"}, nil
		},
		Inspect: func(_ context.Context, r agent.InspectRequest) (agent.InspectReply, error) {
			h.inspects = append(h.inspects, r)
			return agent.InspectReply{}, nil
		},
		Survey: func(_ context.Context, r survey.Request) (survey.Reply, error) {
			h.survey = r
			return survey.Reply{}, nil
		},
		TxnConfirm: func(context.Context, agent.TxnConfirmRequest) (struct{}, error) { h.answered++; return struct{}{}, nil },
		TxnRestart: func(context.Context, agent.TxnRestartRequest) (agent.TxnReply, error) {
			h.answered++
			return agent.TxnReply{}, nil
		},
		TxnList: func(context.Context, agent.TxnListRequest) (agent.TxnListReply, error) {
			return agent.TxnListReply{Transactions: []txn.Summary{{ID: "20261128T000000Z-00000000"}}}, nil
		},
		Answer: func(context.Context, step.Answer) (struct{}, error) { h.answered++; return struct{}{}, nil },
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

func update() txn.Request {
	return txn.Request{Schema: txn.Schema, Site: "st-marys", Host: "media1", Roles: []string{"media"}, Release: "6.5.0", Policy: txn.Allow,
		Confirm: "10m0s", Fence: 42, Steps: drained()}
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
	got := h.started[0]
	if string(got.Secrets["licence"]) != "own" || got.TrustedState == nil || got.TrustedState.Roles["root"].Version == 999 {
		t.Errorf("it came through with %s and %+v", got.Secrets, got.TrustedState)
	}
	if _, err := h.TxnConfirm(t.Context(), agent.TxnConfirmRequest{ID: "begun-here", Fence: 42}); err != nil || h.answered != 1 {
		t.Errorf("what was begun cannot be confirmed: %v", err)
	}
	if _, err := h.TxnRestart(t.Context(), agent.TxnRestartRequest{ID: "begun-here"}); err != nil || h.answered != 2 {
		t.Errorf("what was begun cannot be resumed: %v", err)
	}
	stage := update()
	stage.Stage, stage.Confirm, stage.Steps = true, "", mine()[:1]
	if err := h.start(t, stage); err != nil {
		t.Errorf("fetching ahead: %v", err)
	}
}

// Without a drain nothing may be disturbed, whatever is asked for.
func TestWithoutADrainWhatDisturbsIsDeferred(t *testing.T) {
	h := host(t)
	r := update()
	r.Steps = mine()
	if err := h.start(t, r); err != nil {
		t.Fatal(err)
	}
	if got := h.started[0].Request.Policy; got != txn.Defer {
		t.Errorf("it is to be done with the policy %q", got)
	}
}

func TestEveryOtherTransactionIsRefused(t *testing.T) {
	bad := map[string]func(*txn.Request){
		"another site":            func(r *txn.Request) { r.Site = "elsewhere" },
		"another host":            func(r *txn.Request) { r.Host = "app1" },
		"another role":            func(r *txn.Request) { r.Roles = []string{"app", "media"} },
		"another release":         func(r *txn.Request) { r.Release = "6.4.0" },
		"a part":                  func(r *txn.Request) { r.Partial = true },
		"no way back":             func(r *txn.Request) { r.Confirm = "" },
		"another time to confirm": func(r *txn.Request) { r.Confirm = "1h0m0s" },
		"a token without end":     func(r *txn.Request) { r.Fence = 1 << 62 },
		"a step more":             func(r *txn.Request) { r.Steps = append(r.Steps, spec("file/x", "file", step.Apply, `{}`)) },
		"a step less":             func(r *txn.Request) { r.Steps = r.Steps[:4] },
		"a step alone":            func(r *txn.Request) { r.Steps = r.Steps[2:3] },
		"another order":           func(r *txn.Request) { r.Steps[2], r.Steps[3] = r.Steps[3], r.Steps[2] },
		"another image":           func(r *txn.Request) { r.Steps[0].Params = json.RawMessage(`{"digest":"sha256:bb"}`) },
		"another kind":            func(r *txn.Request) { r.Steps[0].Kind = "file" },
		"another half":            func(r *txn.Request) { r.Steps[0].Half = step.Apply },
		"another disruption":      func(r *txn.Request) { r.Steps[3].Disrupts = step.Host },
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
	if h.Logs != nil || h.Listen != nil || h.Streams != nil || !h.NoCarry {
		t.Error("logs, listeners, streams or tunnels are served")
	}
	refusals := map[string]func() error{
		"a person's transaction, confirmed": func() error {
			_, err := h.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: "20261128T000000Z-00000000"})
			return err
		},
		"a person's transaction, resumed": func() error {
			_, err := h.TxnRestart(ctx, agent.TxnRestartRequest{ID: "20261128T000000Z-00000000"})
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

// While a transaction of a person's runs here, the key raises no token, begins nothing and
// confirms nothing; what was begun with it goes on.
func TestTheKeyLeavesAPersonsTransactionAlone(t *testing.T) {
	h, ctx := host(t), t.Context()
	if err := h.start(t, update()); err != nil {
		t.Fatal(err)
	}
	tries := map[string]func() error{
		"a token": func() error {
			_, err := h.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseFence, Token: 42})
			return err
		},
		"an update": func() error { return h.start(t, update()) },
		"an answer": func() error {
			_, err := h.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: "begun-here", Fence: 42})
			return err
		},
		"a restart": func() error {
			_, err := h.TxnRestart(ctx, agent.TxnRestartRequest{ID: "begun-here", Fence: 42})
			return err
		},
	}
	for name, try := range tries {
		h.unfinished = []string{"begun-here", "20261128T000000Z-00000000"}
		if err := try(); problem.KindOf(err) != problem.Locked || !strings.Contains(err.Error(), "20261128T000000Z-00000000") {
			t.Errorf("%s beside a person's transaction: %v", name, err)
		}
		h.unfinished = []string{"begun-here"}
		if err := try(); err != nil {
			t.Errorf("%s beside its own: %v", name, err)
		}
	}
	before := h.answered
	if _, err := h.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseRelease, Token: 42}); err != nil || h.answered != before+1 {
		t.Errorf("a run that ends says so, and is told %v", err)
	}
}
