// Package restrict judges, on a host, what the key of unattended runs asks for. Whoever has
// that key can have the host update itself to the release that the site's channel offers this
// site, in one of the site's own maintenance windows, with the host's own settings and secrets,
// drained and with a way back, once in a window; go on with that; and confirm it where the host
// is well. The host is the judge of all of it, by its own clock, its own copy of the site file
// and its own look at the releases; it builds its plan itself and compares: a step that differs
// in one byte is refused. Everything else of the agent's calls that changes a host, or reads more
// of it than an update needs, is refused or cut down, and what was done and tried is written
// down (package keyuse). What a plan is, is for package installer.
package restrict

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Plan is what a host would do to itself for a release.
type Plan struct {
	Manifest *release.Manifest
	Plan     *plan.Plan
	Digest   string // of Plan
	// Drain is the step that keeps sessions out meanwhile, waiting for so long.
	Drain func(within string) (step.Spec, error)
	// DrainMost is how long it may wait.
	DrainMost time.Duration
	// Offered says why the release is not for this site now, to a host that has one; with ahead
	// those that come after the next one are, too. Nil: it is.
	Offered func(ctx context.Context, has string, ahead bool) error
	State   release.State // of the repository, as this host has verified it
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

// Judge wraps a host's calls. All but Clock.Ahead and Clock.Given is needed.
type Judge struct {
	Own   Own
	Hours Hours
	Clock Clock
	// Home is the host whose key it is.
	Home string
	// Fence is the highest token that this host has seen.
	Fence func() (int64, error)
	// Transactions are all that this host remembers, newest first.
	Transactions func() ([]txn.Summary, error)
	// Record is what was done with the key and tried.
	Record keyuse.File

	host agent.Handlers // whose calls are judged
}

// Who is the key's name in journals and reports.
func Who(home string) string { return "the schedule's key of " + home }

// Handlers are those of h that the key may use.
func (j *Judge) Handlers(h agent.Handlers) agent.Handlers {
	limits := agent.OfAStranger()
	j.host = h
	return agent.Handlers{
		Facts: h.Facts, TxnList: h.TxnList, TxnFollow: h.TxnFollow,
		TxnStart:   j.start,
		Inspect:    judged(j, looking[agent.InspectRequest], j.inspect, h.Inspect),
		Engine:     judged(j, looking[wowza.Access], j.engine, h.Engine),
		Survey:     judged(j, looking[survey.Request], j.survey, h.Survey),
		Probe:      j.probing(h.Probe),
		Answer:     judged(j, func(step.Answer) keyuse.Use { return keyuse.Use{Call: keyuse.Answer} }, j.answer, h.Answer),
		TxnRestart: judged(j, restarting, j.restart, h.TxnRestart),
		TxnConfirm: judged(j, confirming, j.confirm, h.TxnConfirm),
		Lease:      judged(j, leasing, j.lease, h.Lease),
		NoCarry:    true,
		Limits:     &limits,
	}
}

// judged passes on what the judge makes of a request, and writes down what came of it.
func judged[Req, Resp any](j *Judge, use func(Req) keyuse.Use, judge func(context.Context, *Req) error, do func(context.Context, Req) (Resp, error)) func(context.Context, Req) (Resp, error) {
	return func(ctx context.Context, r Req) (Resp, error) {
		u := use(r)
		if err := judge(ctx, &r); err != nil {
			var none Resp
			return none, j.refused(u, err)
		}
		if err := j.accepted(u); err != nil {
			var none Resp
			return none, err
		}
		return do(ctx, r)
	}
}

// refusal is why the key may not do something.
type refusal struct {
	reason keyuse.Reason
	why    *problem.Error
}

func (r *refusal) Error() string { return r.why.Error() }
func (r *refusal) Unwrap() error { return r.why }

// refuse is the answer to what the key may not do. What may be asked again later is of the kind
// of a host that was skipped; what a person must see to, of that of a check; all else is a
// matter of trust.
func refuse(reason keyuse.Reason, what, format string, args ...any) error {
	p := &problem.Error{Kind: problem.Trust, Doing: "refusing", Object: what, Err: fmt.Errorf(format, args...),
		Fix: "the key of unattended runs only updates, resumes and confirms; a person uses a key of their own. After a change of the site file: valtctl schedule enable"}
	switch reason {
	case keyuse.OutsideHours, keyuse.Tried:
		p.Kind, p.Fix = problem.Halted, "it may be asked again in the next maintenance window; a person uses a key of their own"
	case keyuse.Busy:
		p.Kind, p.Fix = problem.Locked, "valtctl status tells what the host is at"
	case keyuse.Clock, keyuse.Ill:
		p.Kind, p.Fix = problem.Check, "look at the host with: valtctl check hosts"
	}
	return &refusal{reason, p}
}

// refused writes down what was refused, and returns why. What could not be judged was not done.
func (j *Judge) refused(u keyuse.Use, why error) error {
	u.Refused, u.Text = keyuse.Unknown, why.Error()
	var r *refusal
	if errors.As(why, &r) {
		u.Refused, u.Text = r.reason, r.why.Err.Error()
	} else if u.Call == keyuse.Look {
		return why // it could not look, which is no use
	}
	return errors.Join(why, j.Record.Note(u))
}

// accepted writes down what is about to be done. Nothing is begun that cannot be written down; an
// answer to what was begun is given all the same, since the host must come to an end.
func (j *Judge) accepted(u keyuse.Use) error {
	switch u.Call {
	case keyuse.Look:
		return nil
	case keyuse.Confirm, keyuse.Undo, keyuse.Answer, keyuse.Fence:
		_ = j.Record.Note(u)
		return nil
	}
	return j.Record.Note(u)
}

func looking[Req any](Req) keyuse.Use { return keyuse.Use{Call: keyuse.Look} }

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
			return refuse(keyuse.Foreign, "step "+s.ID, "it is not of this host's own plan for release %s", r.Release)
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
