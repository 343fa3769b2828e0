package restrict

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/lease"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
)

// FuzzRestrictedCalls: whatever the key asks for, what comes through the judge is this host's own
// plan with its own secrets, a transaction of the key's own, or a question cut down.
func FuzzRestrictedCalls(f *testing.F) {
	seed := func(method string, request any) {
		raw, err := json.Marshal(request)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(method, raw)
	}
	seed("start", agent.TxnStartRequest{Request: update(), Secrets: map[string][]byte{"licence": []byte("theirs")}})
	staged := update()
	staged.Stage, staged.Steps, staged.Confirm = true, mine()[:1], ""
	seed("start", agent.TxnStartRequest{Request: staged})
	seed("inspect", agent.InspectRequest{Release: "6.5.0", Steps: mine(), Secrets: map[string][]byte{"x": nil}})
	seed("restart", agent.TxnRestartRequest{ID: "begun-here", Fence: 42})
	seed("restart", agent.TxnRestartRequest{ID: "../begun/begun-here", Fence: 42})
	seed("confirm", agent.TxnConfirmRequest{ID: "begun-here", Fence: 42})
	seed("confirm", agent.TxnConfirmRequest{ID: ".", Undo: "because", Fence: 1 << 62})
	seed("confirm", agent.TxnConfirmRequest{ID: "."})
	seed("restart", agent.TxnRestartRequest{ID: ".."})
	seed("lease", agent.LeaseRequest{Action: agent.LeaseFence, Token: 42})
	seed("lease", agent.LeaseRequest{Action: agent.LeaseBreak, Token: -1})
	seed("engine", wowza.Access{URL: wowza.DefaultURL, User: wowza.DefaultUser})
	seed("survey", survey.Request{Packages: []string{"docker-ce=5:1", "-o"}, Folders: []string{"/etc"}})
	seed("probe", probe.Request{Specs: []probe.Spec{{Host: "docker.ipivs.com", Port: 443, Protocol: "tcp", Token: "x"}}})
	s, err := site.Parse("site.yaml", []byte(practice), "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method string, params []byte) { fuzzed(t, s, method, params) })
}

// fuzzed makes one call, and judges what of it comes through.
func fuzzed(t *testing.T, s *site.Site, method string, params []byte) {
	judged := host(t)
	if method != "start" { // beside what waits to be confirmed nothing begins
		judged.past = []txn.Summary{{ID: "begun-here", Key: inWindow(opens()) + "k", Release: "6.5.0", State: txn.StateUnconfirmed}}
	}
	own := map[string][]byte{"licence": []byte("own")}
	secrets := func(got map[string][]byte) {
		if fmt.Sprint(got) != fmt.Sprint(own) {
			t.Errorf("%s %s: it comes with the secrets %q", method, params, got)
		}
	}
	token := func(got int64) {
		if got > 41+lease.Jump {
			t.Errorf("%s %s: token %d is taken", method, params, got)
		}
	}
	h := judged.judge.Handlers(agent.Handlers{
		Facts: judged.Facts,
		TxnStart: func(_ context.Context, r agent.TxnStartRequest) (agent.TxnReply, error) {
			secrets(r.Secrets)
			token(r.Request.Fence)
			all := drained()
			for _, got := range r.Request.Steps {
				if got.ID != "drain" && !slices.ContainsFunc(all, func(want step.Spec) bool { return same("", []step.Spec{got}, []step.Spec{want}) == nil }) {
					t.Errorf("step %+v is taken", got)
				}
			}
			if r.Request.Site != "st-marys" || r.Request.Host != "media1" || r.Request.Release != "6.5.0" || r.Request.Partial || r.TrustedState == nil || r.TrustedState.Roles["root"].Version != 7 {
				t.Errorf("%s is taken", params)
			}
			return agent.TxnReply{ID: "begun-here"}, nil
		},
		Inspect: func(ctx context.Context, r agent.InspectRequest) (agent.InspectReply, error) {
			secrets(r.Secrets)
			return judged.inspect(ctx, r)
		},
		TxnRestart: func(_ context.Context, r agent.TxnRestartRequest) (agent.TxnReply, error) {
			secrets(r.Secrets)
			token(r.Fence)
			if r.ID != "begun-here" {
				t.Errorf("transaction %q goes on", r.ID)
			}
			return agent.TxnReply{}, nil
		},
		TxnConfirm: func(_ context.Context, r agent.TxnConfirmRequest) (struct{}, error) {
			token(r.Fence)
			if r.ID != "begun-here" {
				t.Errorf("transaction %q is confirmed", r.ID)
			}
			return struct{}{}, nil
		},
		TxnList: func(context.Context, agent.TxnListRequest) (agent.TxnListReply, error) {
			return agent.TxnListReply{Transactions: []txn.Summary{{ID: "a-persons"}}}, nil
		},
		Lease: func(_ context.Context, r agent.LeaseRequest) (agent.LeaseReply, error) {
			token(r.Token)
			if r.Action != agent.LeaseShow && r.Action != agent.LeaseFence {
				t.Errorf("the lease: %s", r.Action)
			}
			return agent.LeaseReply{}, nil
		},
		Engine: func(_ context.Context, a wowza.Access) (wowza.State, error) {
			if a.URL != "" && a.URL != wowza.DefaultURL {
				t.Errorf("the engine at %q is asked", a.URL)
			}
			return wowza.State{}, nil
		},
		Survey: func(_ context.Context, r survey.Request) (survey.Reply, error) {
			if !r.NoWrite || len(r.Folders) > 0 || slices.ContainsFunc(r.Packages, func(p string) bool { return p == "" || p[0] == '-' }) || len(r.Packages) > maxAsked {
				t.Errorf("the survey %+v", r)
			}
			return survey.Reply{}, nil
		},
		Probe: func(_ context.Context, r probe.Request, _ func(probe.Outcome) error) error {
			for _, one := range r.Specs {
				if one.Token != "" || !slices.ContainsFunc(network.Flows(s), func(f network.Flow) bool { return f.Destination.Address == one.Host && f.Port == one.Port }) {
					t.Errorf("%+v is asked", one)
				}
			}
			return nil
		},
	})
	if h.Logs != nil || h.Listen != nil || h.Support != nil || h.Solve != nil || h.Prove != nil || h.Streams != nil || !h.NoCarry || h.Limits == nil {
		t.Error("the key may do more than it was meant for")
	}
	call(t.Context(), h, method, params)
}

// call makes the call that a method's name stands for; what cannot be decoded is none.
func call(ctx context.Context, h agent.Handlers, method string, params []byte) {
	switch method {
	case "start":
		with(params, func(r agent.TxnStartRequest) { _, _ = h.TxnStart(ctx, r) })
	case "inspect":
		with(params, func(r agent.InspectRequest) { _, _ = h.Inspect(ctx, r) })
	case "restart":
		with(params, func(r agent.TxnRestartRequest) { _, _ = h.TxnRestart(ctx, r) })
	case "confirm":
		with(params, func(r agent.TxnConfirmRequest) { _, _ = h.TxnConfirm(ctx, r) })
	case "lease":
		with(params, func(r agent.LeaseRequest) { _, _ = h.Lease(ctx, r) })
	case "engine":
		with(params, func(r wowza.Access) { _, _ = h.Engine(ctx, r) })
	case "survey":
		with(params, func(r survey.Request) { _, _ = h.Survey(ctx, r) })
	case "probe":
		with(params, func(r probe.Request) { _ = h.Probe(ctx, r, func(probe.Outcome) error { return nil }) })
	}
}

func with[Req any](params []byte, do func(Req)) {
	var r Req
	if json.Unmarshal(params, &r) == nil {
		do(r)
	}
}
