package installer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// unfinished refuses a new run on a host whose last one is not over.
func unfinished(host string, all []txn.Summary) error {
	for _, t := range all {
		if t.State.Finished() {
			continue
		}
		return &problem.Error{Kind: problem.Locked, Doing: "checking host", Object: host,
			Err: fmt.Errorf("transaction %s is %s", t.ID, t.State), Fix: "follow or finish it with: valtctl resume"}
	}
	return nil
}

// ErrNothingToResume says that nothing is unfinished, and that what was done last was a
// rollout: going on with an installation would be wrong.
var ErrNothingToResume = errors.New("nothing is unfinished")

// Resume adopts what earlier runs began: it follows transactions that run, gives waiting
// ones their secrets again and goes on with interrupted ones. Then it finishes the
// installation to the same release on hosts that had not begun.
//
// The lease of a controller that was killed is waited for: going on is what resume is for.
func Resume(ctx context.Context, o Options) (*Result, error) {
	o.Outlive = true
	begun, err := adoptAll(ctx, o)
	if err != nil || o.DryRun && begun != "" {
		return nil, err
	}
	r, err := begin(ctx, o, begun, true)
	if err != nil {
		return nil, err
	}
	err = r.install(ctx)
	return r.result, errors.Join(err, r.fleet.close())
}

// adoptAll brings every unfinished transaction to its end and returns the release that
// they, or else the newest finished ones, were for; empty where nothing was ever begun.
func adoptAll(ctx context.Context, o Options) (string, error) {
	m, err := readMaterial(o.Site, o.Now())
	if err != nil {
		return "", err
	}
	r := &run{Options: o, material: m}
	if r.hosts, err = picked(o.Site, o.Hosts); err != nil {
		return "", err
	}
	if err := r.meet(ctx); err != nil {
		return "", errors.Join(err, r.fleet.close())
	}
	if !r.anyUnfinished() && r.wasRolled() {
		return "", errors.Join(ErrNothingToResume, r.fleet.close())
	}
	r.result = &Result{Run: o.Run, Site: o.Site.ID, Hosts: make([]HostResult, len(r.hosts)), plan: &plan.Plan{}}
	var held *Hold
	if r.anyUnfinished() && !o.DryRun {
		if held, ctx, err = r.hold(ctx, nil); err != nil {
			return "", errors.Join(err, r.fleet.close())
		}
	}
	releases := make([]string, len(r.hosts))
	err = each(len(r.hosts), func(i int) error {
		r.result.Hosts[i].Host = r.hosts[i].Name
		var err error
		releases[i], err = r.adopt(ctx, i)
		return err
	})
	return oneRelease(releases), errors.Join(err, held.Release(ctx), r.fleet.close())
}

func (r *run) anyUnfinished() bool {
	for _, f := range r.facts {
		for _, t := range f.Transactions {
			if !t.State.Finished() {
				return true
			}
		}
	}
	return false
}

// wasRolled says that every host has VALT and that a rollout changed one of them last, or
// tried to.
func (r *run) wasRolled() bool {
	rolled := false
	for i, f := range r.facts {
		if f.Facts.Installed == nil {
			return false
		}
		now := HostFacts{Host: r.hosts[i].Name, Transactions: f.Transactions}.Now()
		rolled = rolled || now != nil && now.WayBack
	}
	return rolled
}

// oneRelease is the newest of those that hosts were begun with.
func oneRelease(all []string) string {
	var named []string
	for _, v := range all {
		if v != "" {
			named = append(named, v)
		}
	}
	return release.Newest(named)
}

// adopt goes on with a host's unfinished transaction. It returns the release that the host
// was to be brought to.
func (r *run) adopt(ctx context.Context, i int) (string, error) {
	if len(r.facts[i].Transactions) == 0 {
		return "", nil
	}
	newest := r.facts[i].Transactions[0]
	if newest.State.Finished() {
		return r.broughtTo(i), nil
	}
	r.Observer.Observe(event.Event{Kind: event.Note, Host: r.hosts[i].Name,
		Text: fmt.Sprintf("transaction %s of %s is %s%s", newest.ID, newest.Who, newest.State, afterStep(newest))})
	if r.DryRun {
		return newest.Release, nil
	}
	if newest.State != txn.StateRunning || r.Carrier != nil { // a bundle answers at another place now
		if err := r.restart(ctx, i, newest.ID); err != nil {
			return newest.Release, err
		}
	}
	f := &following{run: r, host: i, id: newest.ID, titles: map[string]titled{}}
	result, err := f.toTheEnd(ctx)
	if err != nil {
		return newest.Release, f.left(ctx, err)
	}
	if result.Outcome == txn.Failed {
		// What failed is over; the run that follows begins anew and meets the cause again
		// if it is still there.
		r.Observer.Observe(event.Event{Kind: event.Note, Host: r.hosts[i].Name, Text: "that transaction failed: " + oneLine(result.Err())})
		return newest.Release, nil
	}
	return newest.Release, r.conclude(i, result)
}

// broughtTo is the release that a host was last to be brought to. What only fetched ahead of
// time, or opened and closed the gate, was for none.
func (r *run) broughtTo(i int) string {
	f := r.facts[i]
	if now := (HostFacts{Transactions: f.Transactions}).Now(); now != nil {
		return now.Release
	}
	if f.Facts.Installed != nil {
		return f.Facts.Installed.Release
	}
	return ""
}

func afterStep(t txn.Summary) string {
	if t.LastStep == "" {
		return ""
	}
	return ", last at step " + t.LastStep
}

func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
