package installer

import (
	"context"
	"errors"
	"fmt"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

// Options are what an installation is given.
type Options struct {
	fleet.Options
	// SkipChecks leaves out trying the flows that the changes need.
	SkipChecks bool
	// Confirm is asked before the first change, with what was found; nil: go on.
	Confirm func(ctx context.Context, found *Result) error
}

// installation is one Install under way.
type installation struct {
	*Run
	site     *site.Site
	observer event.Observer
	target   *Target
	result   *Result
}

// Install brings the site's hosts to the site's release. It reports every problem at once;
// what it refuses it refuses before anything is changed. The Result is nil only if nothing
// could be planned.
func Install(ctx context.Context, o Options) (*Result, error) { return install(ctx, o, "", false) }

// install is Install to a version, or to the site's where that is empty. last is as
// inputs.Source's.
func install(ctx context.Context, o Options, version string, last bool) (*Result, error) {
	r, err := prepare(o.Options)
	if err != nil {
		return nil, err
	}
	rel, err := r.meet(ctx, version, last)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	in := &installation{Run: r, site: o.Site, observer: o.Observer}
	err = in.run(ctx, o, rel)
	return in.result, errors.Join(err, r.Close())
}

// meet connects to the hosts and resolves the release, at the same time since neither needs
// the other.
func (r *Run) meet(ctx context.Context, version string, last bool) (*inputs.Release, error) {
	var rel *inputs.Release
	both := []func() error{
		func() (err error) {
			rel, err = r.source.Resolve(ctx, version, last)
			return err
		},
		func() error { return r.Connect(ctx) },
	}
	err := fleet.Each(both, func(do func() error) error { return do() })
	return rel, err
}

// run plans, looks, asks, and has the hosts do it.
func (in *installation) run(ctx context.Context, o Options, rel *inputs.Release) error {
	if err := in.preflight(rel, refuseOtherRelease, false); err != nil {
		return err
	}
	if err := in.plan(ctx, rel); err != nil {
		return err
	}
	if err := in.inspect(ctx); err != nil {
		return err
	}
	if o.DryRun {
		return nil
	}
	if !in.result.changes() {
		return in.apply(ctx)
	}
	if !o.SkipChecks && o.Carrier == nil {
		if err := in.reach(ctx, in.prober(rel.Manifest)); err != nil {
			return err
		}
	}
	if o.Confirm != nil {
		if err := o.Confirm(ctx, in.result); err != nil {
			return err
		}
	}
	held, ctx, err := in.Hold(ctx, nil)
	if err != nil {
		return err
	}
	return errors.Join(in.apply(ctx), held.Release(ctx))
}

// plan makes the plan and the result's frame.
func (in *installation) plan(ctx context.Context, rel *inputs.Release) error {
	var err error
	if in.target, err = in.Run.target(ctx, rel, plan.Input{}); err != nil {
		return err
	}
	o := in.Options
	in.result = &Result{Run: o.Run, Site: o.Site.ID, Release: rel.Manifest.Version, Digest: in.target.Digest, DryRun: o.DryRun, Replaced: in.target.Plan.Replaced,
		Hosts: make([]HostResult, len(in.Hosts))}
	for i, h := range in.Hosts {
		in.result.Hosts[i] = HostResult{Host: h.Name, Outcome: Unchanged, Steps: len(in.steps(h))}
	}
	return nil
}

// steps are a host's part of the plan.
func (in *installation) steps(h *fleet.Host) []step.Spec {
	hp, _ := in.target.Plan.Host(h.Name)
	return hp.Steps
}

// inspect has every host compare itself with its plan.
func (in *installation) inspect(ctx context.Context) error {
	return fleet.Each(in.Hosts, func(h *fleet.Host) error {
		steps := in.steps(h)
		findings, err := in.Inspect(ctx, h.Name, in.target, steps)
		if findings == nil {
			return err
		}
		found := in.result.host(h.Name)
		found.sort(steps, findings)
		in.observer.Observe(event.Event{Kind: event.Inspect, Host: h.Name, Count: len(steps),
			Text: fmt.Sprintf("%d of %d steps differ", len(found.Changes)+len(found.Deferred), len(steps))})
		return err
	})
}

// sort puts what a host found into changes, deferrals and notes.
func (r *HostResult) sort(steps []step.Spec, findings []agent.StepFinding) {
	var errs []error
	for n, f := range findings {
		if err := problem.FromRecords(f.Problems); err != nil {
			errs = append(errs, fmt.Errorf("host %s: %w", r.Host, err))
			continue
		}
		r.Notes = append(r.Notes, f.Finding.Notes...)
		if !f.Finding.Change {
			continue
		}
		spec := steps[n]
		change := StepChange{ID: spec.ID, Kind: spec.Kind, Title: spec.Title, Diff: f.Finding.Diff, Disrupts: f.Finding.Disrupts}
		if interrupts(f.Finding.Disrupts) {
			r.Deferred = append(r.Deferred, change)
			continue
		}
		r.Changes = append(r.Changes, change)
	}
	switch err := errors.Join(errs...); {
	case err != nil:
		r.Outcome, r.Reason = Failed, fleet.OneLine(err)
	case len(r.Changes) > 0:
		r.Outcome = Planned
	}
}

func interrupts(d step.Disruption) bool { return d != "" && d != step.Nothing }

// apply has every host that differs change, as many at a time as may fetch.
func (in *installation) apply(ctx context.Context) error {
	return fleet.EachOf(ctx, in.Options.AtOnce(), in.Hosts, func(h *fleet.Host) error {
		res := in.result.host(h.Name)
		if len(res.Changes) == 0 {
			in.observer.Observe(event.Event{Kind: event.Done, Host: h.Name, Text: string(res.Outcome)})
			return nil
		}
		end, err := in.change(ctx, h, in.target, Change{Steps: in.steps(h), Policy: txn.Defer})
		res.Transaction = end.ID
		switch {
		case err != nil && end.ID == "":
			res.Outcome, res.Reason = Failed, fleet.Bare(err).Error()
			return err
		case err != nil:
			res.Outcome = Running
			return err
		}
		return in.result.conclude(in.observer, h.Name, end.Result)
	})
}
