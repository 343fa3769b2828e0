// Package restrict judges, on a host, what the key of unattended runs asks for. Whoever has
// that key can have the host update itself to a release that the host has verified itself,
// with the host's own settings and secrets, drained and with a way back; go on with that;
// and confirm it. The host builds its plan itself and compares: a step that differs in one
// byte is refused. Everything else of the agent's calls that changes a host, or reads more of
// it than an update needs, is refused or cut down. What a plan is, is for package installer.
package restrict

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/lease"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Plan is what a host would do to itself for a release.
type Plan struct {
	Manifest *release.Manifest
	Plan     *plan.Plan
	// Drain is the step that keeps sessions out meanwhile, waiting for so long.
	Drain func(within string) (step.Spec, error)
	State release.State // of the repository, as this host has verified it
}

// Own is this host's own view of its site.
type Own interface {
	// Plan refuses releases that this host has not verified, or that are older than its own.
	Plan(ctx context.Context, version string) (*Plan, error)
	// About is the host's copy of the site file, and which of its hosts this one is.
	About() (*site.Site, site.Host)
	// Secrets are what this host's own steps may ask for.
	Secrets() map[string][]byte
}

// Judge wraps a host's calls.
type Judge struct {
	Own Own
	Dir string // the host's folder of what was begun with the key
	// Fence is the highest token that this host has seen.
	Fence func() (int64, error)
	// Unfinished are the host's transactions that are not over.
	Unfinished func() ([]string, error)
}

// Handlers are those of h that the key may use.
func (j *Judge) Handlers(h agent.Handlers) agent.Handlers {
	limits := agent.OfAStranger()
	return agent.Handlers{
		Facts: h.Facts, TxnList: h.TxnList, TxnFollow: h.TxnFollow,
		Inspect:    judged(j.inspect, h.Inspect),
		TxnStart:   j.start(h.TxnStart),
		Answer:     judged(func(ctx context.Context, _ *step.Answer) error { return j.own(ctx, h.TxnList) }, h.Answer),
		TxnRestart: judged(j.restart, h.TxnRestart),
		TxnConfirm: judged(j.confirm, h.TxnConfirm),
		Lease:      judged(j.lease, h.Lease),
		Engine:     judged(j.engine, h.Engine),
		Survey:     judged(j.survey, h.Survey),
		Probe:      j.probing(h.Probe),
		NoCarry:    true,
		Limits:     &limits,
	}
}

// judged passes on what the judge makes of a request.
func judged[Req, Resp any](judge func(context.Context, *Req) error, do func(context.Context, Req) (Resp, error)) func(context.Context, Req) (Resp, error) {
	return func(ctx context.Context, r Req) (Resp, error) {
		if err := judge(ctx, &r); err != nil {
			var none Resp
			return none, err
		}
		return do(ctx, r)
	}
}

// refuse is the answer to what the key may not do.
func refuse(what, format string, args ...any) error {
	return &problem.Error{Kind: problem.Trust, Doing: "refusing", Object: what, Err: fmt.Errorf(format, args...),
		Fix: "the key of unattended runs only updates, resumes and confirms; a person uses a key of their own. After a change of the site file: valtctl schedule enable"}
}

// inspect lets steps of the host's own plan look, and questions about the health of others.
func (j *Judge) inspect(ctx context.Context, r *agent.InspectRequest) error {
	p, err := j.Own.Plan(ctx, r.Release)
	if err != nil {
		return err
	}
	known, err := j.known(p)
	if err != nil {
		return err
	}
	for _, s := range r.Steps {
		text, err := text(s)
		if err != nil {
			return err
		}
		if !known[text] {
			return refuse("step "+s.ID, "it is not of this host's own plan for release %s", r.Release)
		}
	}
	r.Secrets = j.Own.Secrets()
	return nil
}

// known are the steps that may look: this host's own, and those that ask another host from
// outside whether it is well.
func (j *Judge) known(p *Plan) (map[string]bool, error) {
	s, self := j.Own.About()
	known := map[string]bool{}
	add := func(spec step.Spec) error {
		text, err := text(spec)
		known[text] = true
		return err
	}
	for _, hp := range p.Plan.Hosts {
		for _, spec := range hp.Steps {
			if hp.Host == self.Name {
				if err := add(spec); err != nil {
					return nil, err
				}
			}
			if hp.Host == self.Name || spec.Kind != docker.KindHealth {
				continue
			}
			other, _ := s.Host(hp.Host)
			outside, err := docker.HealthFrom(spec, string(other.Address))
			if err == nil {
				err = add(outside)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return known, nil
}

// text is a step in one form, so that two can be compared.
func text(s step.Spec) (string, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("comparing step %s: %w", s.ID, err)
	}
	return string(raw), nil
}

// start has the host begin what it would do itself, with its own secrets.
func (j *Judge) start(do func(context.Context, agent.TxnStartRequest) (agent.TxnReply, error)) func(context.Context, agent.TxnStartRequest) (agent.TxnReply, error) {
	return func(ctx context.Context, r agent.TxnStartRequest) (agent.TxnReply, error) {
		p, err := j.Own.Plan(ctx, r.Request.Release)
		if err != nil {
			return agent.TxnReply{}, err
		}
		if err := errors.Join(j.request(p, &r.Request), j.token(r.Request.Fence)); err != nil {
			return agent.TxnReply{}, err
		}
		r.TrustedState, r.Secrets = &p.State, j.Own.Secrets()
		reply, err := do(ctx, r)
		if reply.ID != "" {
			err = errors.Join(err, j.mark(reply.ID))
		}
		return reply, err
	}
}

// request wants a transaction to be this host's whole update, or its fetch half.
func (j *Judge) request(p *Plan, t *txn.Request) error {
	s, self := j.Own.About()
	what := "transaction for release " + t.Release
	switch {
	case t.Site != s.ID || t.Host != self.Name || !slices.Equal(t.Roles, plan.RoleNames(self)):
		return refuse(what, "it is for %s of site %s, and this is %s of %s", t.Host, t.Site, self.Name, s.ID)
	case t.Partial:
		return refuse(what, "it is not the whole update")
	}
	hp, _ := p.Plan.Host(self.Name)
	if t.Stage {
		t.Policy = txn.Defer
		return same(what, t.Steps, slices.DeleteFunc(slices.Clone(hp.Steps), func(s step.Spec) bool { return s.Half != step.Fetch }))
	}
	if t.Confirm != time.Duration(s.Updates.ConfirmWithin).String() {
		return refuse(what, "it would wait %q to be confirmed, and the site file says %s", t.Confirm, time.Duration(s.Updates.ConfirmWithin))
	}
	want := hp.Steps
	at := slices.IndexFunc(want, func(s step.Spec) bool { return s.Half == step.Apply })
	if at < 0 || at >= len(t.Steps) || t.Steps[at].ID == want[at].ID {
		t.Policy = txn.Defer // without a drain nothing that serves is disturbed
		return same(what, t.Steps, want)
	}
	drain, err := p.Drain(within(t.Steps[at]))
	if err != nil {
		return err
	}
	return same(what, t.Steps, slices.Insert(slices.Clone(want), at, drain))
}

// within is how long a drain says that it waits; what it says else is compared.
func within(s step.Spec) string {
	var p struct {
		Within string `json:"within"`
	}
	_ = json.Unmarshal(s.Params, &p) // what cannot be read differs from what is wanted
	return p.Within
}

// same wants the steps that were sent to be those that this host would make.
func same(what string, got, want []step.Spec) error {
	if len(got) != len(want) {
		return refuse(what, "it has %d steps, and this host's own plan has %d", len(got), len(want))
	}
	for i := range got {
		a, err1 := text(got[i])
		b, err2 := text(want[i])
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if a != b {
			return refuse(what, "its step %s is not the %s of this host's own plan", got[i].ID, want[i].ID)
		}
	}
	return nil
}

// What was begun with the key has a mark, an empty file by the transaction's name.
func (j *Judge) markOf(id string) string { return filepath.Join(j.Dir, filepath.Base(id)) }

func (j *Judge) mark(id string) error {
	if err := durable.MkdirAll(j.Dir, 0o700); err != nil {
		return fmt.Errorf("marking what was begun unattended: %w", err)
	}
	return durable.WriteFile(j.markOf(id), nil, 0o600)
}

// marked wants a transaction to have been begun with the key.
func (j *Judge) marked(id string) error {
	info, err := os.Lstat(j.markOf(id))
	if err != nil || !info.Mode().IsRegular() || filepath.Base(id) != id { // "." is a folder, and no transaction
		return refuse("transaction "+id, "it was not begun with this key")
	}
	return nil
}

// own wants the host's newest transaction to have been begun with the key: rules that a
// person has on trial are not the key's to keep.
func (j *Judge) own(ctx context.Context, list func(context.Context, agent.TxnListRequest) (agent.TxnListReply, error)) error {
	all, err := list(ctx, agent.TxnListRequest{})
	if err != nil {
		return err
	}
	if len(all.Transactions) == 0 {
		return refuse("firewall", "nothing was begun with this key")
	}
	return j.marked(all.Transactions[0].ID)
}

func (j *Judge) restart(_ context.Context, r *agent.TxnRestartRequest) error {
	r.Secrets = j.Own.Secrets()
	return errors.Join(j.marked(r.ID), j.token(r.Fence))
}

func (j *Judge) confirm(_ context.Context, r *agent.TxnConfirmRequest) error {
	return errors.Join(j.marked(r.ID), j.token(r.Fence))
}

// token wants a run of the key to be a next one of the site's, while no person's transaction
// runs here. That no person's run holds the site's lease is seen to where the token is admitted.
func (j *Judge) token(token int64) error {
	highest, err := j.Fence()
	if err != nil {
		return err
	}
	if token < 0 || token-highest > lease.Jump {
		return refuse(fmt.Sprintf("token %d", token), "the highest that this host has seen is %d", highest)
	}
	ids, err := j.Unfinished()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if j.marked(id) != nil {
			return &problem.Error{Kind: problem.Locked, Doing: "changing this host", Err: fmt.Errorf("transaction %s, which a person has begun, is not over", id),
				Fix: "wait until it is; see valtctl status"}
		}
	}
	return nil
}

// lease lets a run be announced. The lease itself is kept by the host that runs unattended,
// which needs no key for itself; so there is none to give back here, either.
func (j *Judge) lease(_ context.Context, r *agent.LeaseRequest) error {
	switch r.Action {
	case agent.LeaseShow:
		return nil
	case agent.LeaseRelease:
		*r = agent.LeaseRequest{Action: agent.LeaseShow}
		return nil
	case agent.LeaseFence:
		return j.token(r.Token)
	}
	return refuse("lease "+string(r.Action), "this host keeps no lease of unattended runs")
}
