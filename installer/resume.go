package installer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/release"
)

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
	begun, err := adoptAll(ctx, o.Options)
	if err != nil || o.DryRun && begun != "" {
		return nil, err
	}
	return install(ctx, o, begun, true)
}

// adoptAll brings every unfinished transaction to its end and returns the release that
// they, or else the newest finished ones, were for; empty where nothing was ever begun.
func adoptAll(ctx context.Context, o fleet.Options) (version string, err error) {
	r, err := Begin(ctx, o)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	unfinished := len(r.Unfinished()) > 0
	if !unfinished && r.wasRolled() {
		return "", ErrNothingToResume
	}
	var held *fleet.LeaseHolder
	if unfinished && !o.DryRun {
		if held, ctx, err = r.Hold(ctx, nil); err != nil {
			return "", err
		}
	}
	result := &Result{}
	for _, h := range r.Hosts {
		result.Hosts = append(result.Hosts, HostResult{Host: h.Name})
	}
	var mu sync.Mutex
	var releases []string
	err = fleet.Each(r.Hosts, func(h *fleet.Host) error {
		version, err := r.adopt(ctx, h, result)
		mu.Lock()
		defer mu.Unlock()
		releases = append(releases, version)
		return err
	})
	return newest(releases), errors.Join(err, held.Release(ctx))
}

// wasRolled says that every host has VALT and that a rollout changed one of them last, or
// tried to.
func (r *Run) wasRolled() bool {
	rolled := false
	for _, h := range r.Hosts {
		f := h.Facts()
		if f.Facts.Installed == nil {
			return false
		}
		now := txn.Current(f.Transactions)
		rolled = rolled || now != nil && now.WayBack
	}
	return rolled
}

// newest is the newest of the releases that hosts were begun with; empty where none was.
func newest(all []string) string {
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
func (r *Run) adopt(ctx context.Context, h *fleet.Host, result *Result) (string, error) {
	all := h.Facts().Transactions
	if len(all) == 0 {
		return "", nil
	}
	last := all[0]
	if last.State.Finished() {
		return broughtTo(h), nil
	}
	note := func(text string) {
		r.Options.Observer.Observe(event.Event{Kind: event.Note, Host: h.Name, Text: text})
	}
	note(fmt.Sprintf("transaction %s of %s is %s%s", last.ID, last.Who, last.State, afterStep(last)))
	if r.Options.DryRun {
		return last.Release, nil
	}
	if last.State != txn.StateRunning || r.Options.Carrier != nil { // a bundle answers at another place now
		if err := h.Restart(ctx, last.ID, r.secrets(h)); err != nil {
			return last.Release, err
		}
	}
	end, err := r.follow(ctx, h, fleet.Transaction{ID: last.ID})
	if err != nil {
		return last.Release, err
	}
	if end.Result.Outcome == txn.Failed {
		// What failed is over; the run that follows begins anew and meets the cause again
		// if it is still there.
		note("that transaction failed: " + fleet.OneLine(end.Result.Err()))
		return last.Release, nil
	}
	return last.Release, result.conclude(r.Options.Observer, h.Name, end.Result)
}

// broughtTo is the release that a host was last to be brought to. What only fetched ahead of
// time, or opened and closed the gate, was for none.
func broughtTo(h *fleet.Host) string {
	f := h.Facts()
	if now := txn.Current(f.Transactions); now != nil {
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
