package installer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Options are what a run is given. Site, Connect, StateDir, Run, Now and Observer are
// needed.
type Options struct {
	Site     *site.Site
	Hosts    []string // only these; empty: all
	Connect  Connect
	StateDir string // the controller's folder for this site
	Run      string // the run's id, unique and sortable by time
	Who      string // who runs it, for the hosts' journals
	Now      func() time.Time
	Observer event.Observer
	DryRun   bool
	Lease    time.Duration // how long the site's lease is held without renewing; 0: DefaultLease
	// Outlive has the run wait for the end of a lease that somebody holds and does not renew.
	Outlive bool
	// Carrier is the bundle that everything comes from; nil: the site's own sources.
	Carrier *Carrier
	// Limit is how many hosts fetch at a time: they share one line to the vendor, or one
	// bundle. 0: DefaultLimit.
	Limit int
	// SkipChecks leaves out trying the flows that the changes need.
	SkipChecks bool
	// Confirm is asked before the first change, with what was found; nil: go on.
	Confirm func(ctx context.Context, found *Result) error
}

// DefaultLimit is how many hosts fetch at a time where nobody says otherwise.
const DefaultLimit = 16

// AtOnce is how many hosts fetch at a time.
func (o Options) AtOnce() int {
	if o.Limit > 0 {
		return o.Limit
	}
	return DefaultLimit
}

// run is one run under way.
type run struct {
	Options
	material *material
	hosts    []site.Host
	fleet    fleet
	facts    []agent.FactsReply
	chosen   *chosen
	result   *Result

	held *Hold                        // the site's lease, once it is held
	more map[string]map[string][]byte // secrets of this run alone, by host

	links sync.Mutex // guards what fleet holds once hosts are followed
}

// session is the connection to a host; nil: there is none now.
func (r *run) session(i int) *session {
	r.links.Lock()
	defer r.links.Unlock()
	return r.fleet[i]
}

// setSession replaces the connection to a host and returns the one before.
func (r *run) setSession(i int, s *session) *session {
	r.links.Lock()
	defer r.links.Unlock()
	was := r.fleet[i]
	r.fleet[i] = s
	return was
}

// Install brings the site's hosts to the site's release. It reports every problem at once;
// what it refuses it refuses before anything is changed. The Result is nil only if nothing
// could be planned.
func Install(ctx context.Context, o Options) (*Result, error) {
	r, err := begin(ctx, o, "", false)
	if err != nil {
		return nil, err
	}
	err = r.install(ctx)
	return r.result, errors.Join(err, r.fleet.close())
}

// begin reads the site's files, connects to the hosts and resolves the release, the two
// at the same time since neither needs the other.
func begin(ctx context.Context, o Options, version string, last bool) (*run, error) {
	r := &run{Options: o}
	var err error
	if r.material, err = readMaterial(o.Site, o.Now()); err != nil {
		return nil, err
	}
	if r.hosts, err = picked(o.Site, o.Hosts); err != nil {
		return nil, err
	}
	err = each(2, func(i int) error {
		var err error
		if i == 0 {
			r.chosen, err = choose(ctx, o, r.material, version, last)
			return err
		}
		return r.meet(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, r.fleet.close())
	}
	return r, nil
}

// meet connects to the hosts and gathers their facts.
func (r *run) meet(ctx context.Context) error {
	r.fleet = make(fleet, len(r.hosts))
	r.facts = make([]agent.FactsReply, len(r.hosts))
	return each(len(r.hosts), func(i int) error {
		s, err := r.Connect.carrying(ctx, r.hosts[i], r.Observer, r.Carrier)
		if err != nil {
			return err
		}
		r.fleet[i] = s
		if r.facts[i], err = s.client.Facts(ctx, agent.FactsRequest{}); err != nil {
			return fmt.Errorf("host %s: %w", r.hosts[i].Name, err)
		}
		f := r.facts[i].Facts
		r.Observer.Observe(event.Event{Kind: event.Facts, Host: r.hosts[i].Name, Text: fmt.Sprintf("%s %s, %s", f.OS.Pretty, f.Arch, engineText(f))})
		return nil
	})
}

func engineText(f facts.Facts) string {
	if f.Engine == nil {
		return "no Docker engine"
	}
	return "Docker " + f.Engine.Version
}

// install plans, looks, asks, and has the hosts do it.
func (r *run) install(ctx context.Context) error {
	if err := r.precheck(); err != nil {
		return err
	}
	if err := r.plan(ctx); err != nil {
		return err
	}
	if err := r.inspect(ctx); err != nil {
		return err
	}
	if r.DryRun {
		return nil
	}
	if r.anyChange() && !r.SkipChecks && r.Carrier == nil {
		if err := r.reach(ctx); err != nil {
			return err
		}
	}
	if r.anyChange() && r.Confirm != nil {
		if err := r.Confirm(ctx, r.result); err != nil {
			return err
		}
	}
	if !r.anyChange() {
		return r.apply(ctx)
	}
	held, ctx, err := r.hold(ctx, nil)
	if err != nil {
		return err
	}
	return errors.Join(r.apply(ctx), held.Release(ctx))
}

// precheck refuses what must not be touched, on all hosts at once.
func (r *run) precheck() error { return r.check(refuseOtherRelease) }

// check is precheck with the judgement of what is installed already.
func (r *run) check(installed refuseRelease) error {
	var errs []error
	for i, h := range r.hosts {
		f := &r.facts[i].Facts
		errs = append(errs, refuse(r.Site, r.chosen.manifest, h.Name, f, installed), unfinished(h.Name, r.facts[i].Transactions))
		if seen := r.facts[i].TrustedState; seen != nil {
			errs = append(errs, release.NotOlder(r.chosen.state, *seen, h.Name))
		}
	}
	return errors.Join(errs...)
}

// plan makes the plan and the result's frame.
func (r *run) plan(ctx context.Context) error {
	p, digest, err := r.build(ctx, r.chosen, plan.Input{})
	if err != nil {
		return err
	}
	r.result = &Result{Run: r.Run, Site: r.Site.ID, Release: r.chosen.manifest.Version, Digest: digest, DryRun: r.DryRun,
		Hosts: make([]HostResult, len(r.hosts)), plan: p}
	for i, h := range r.hosts {
		r.result.Hosts[i] = HostResult{Host: h.Name, Outcome: Unchanged, Steps: len(p.Hosts[i].Steps)}
	}
	return nil
}

// build plans a release for the run's hosts; in says what kind of plan.
func (r *run) build(ctx context.Context, c *chosen, in plan.Input) (*plan.Plan, string, error) {
	in.Site, in.Manifest, in.Compose, in.Public = r.Site, c.manifest, c.compose, r.material.public
	in.Hosts, in.Bundle = map[string]plan.HostFacts{}, r.Carrier != nil
	for i, h := range r.hosts {
		in.Hosts[h.Name] = plan.HostFacts{Codename: r.facts[i].Facts.OS.Codename, Arch: r.facts[i].Facts.Arch}
	}
	p, err := plan.Build(ctx, in)
	if err != nil {
		return nil, "", err
	}
	digest, err := p.Digest()
	return p, digest, err
}

// inspect has every host compare itself with its plan.
func (r *run) inspect(ctx context.Context) error {
	return each(len(r.hosts), func(i int) error {
		h, steps := r.hosts[i], r.result.plan.Hosts[i].Steps
		reply, err := r.fleet[i].client.Inspect(ctx, agent.InspectRequest{Steps: steps, Secrets: r.secrets(h.Name)})
		if err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
		if len(reply.Findings) != len(steps) {
			return fmt.Errorf("host %s: it answered for %d of %d steps", h.Name, len(reply.Findings), len(steps))
		}
		err = errors.Join(r.judge(i, reply.Findings), r.suits(ctx, i, steps, reply.Findings))
		found := &r.result.Hosts[i]
		r.Observer.Observe(event.Event{Kind: event.Inspect, Host: h.Name, Count: len(steps),
			Text: fmt.Sprintf("%d of %d steps differ", len(found.Changes)+len(found.Deferred), len(steps))})
		return err
	})
}

// judge sorts what a host found into changes, deferrals, notes and problems.
func (r *run) judge(i int, findings []agent.StepFinding) error {
	res := &r.result.Hosts[i]
	var errs []error
	for n, f := range findings {
		spec := r.result.plan.Hosts[i].Steps[n]
		if err := problem.FromRecords(f.Problems); err != nil {
			errs = append(errs, fmt.Errorf("host %s: %w", res.Host, err))
			continue
		}
		res.Notes = append(res.Notes, f.Finding.Notes...)
		if !f.Finding.Change {
			continue
		}
		change := StepChange{ID: spec.ID, Kind: spec.Kind, Title: spec.Title, Diff: f.Finding.Diff, Disrupts: f.Finding.Disrupts}
		if interrupts(f.Finding.Disrupts) {
			res.Deferred = append(res.Deferred, change)
			continue
		}
		res.Changes = append(res.Changes, change)
	}
	err := errors.Join(errs...)
	switch {
	case err != nil:
		res.Outcome, res.Reason = Failed, oneLine(err)
	case len(res.Changes) > 0:
		res.Outcome = Planned
	}
	return err
}

func interrupts(d step.Disruption) bool { return d != "" && d != step.Nothing }

func (r *run) anyChange() bool {
	for _, h := range r.result.Hosts {
		if len(h.Changes) > 0 {
			return true
		}
	}
	return false
}
