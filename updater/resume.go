package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

// ErrNoRollout says that no rollout is unfinished: what may be is an installation.
var ErrNoRollout = errors.New("no rollout is unfinished")

// Resume goes on with the rollout that an earlier controller began, wherever that was:
// what it was about is kept beside the site's lease. Hosts that are at work are followed,
// and judged if they have switched; then the others get their turn.
func Resume(ctx context.Context, o Options) (*UpdateResult, error) {
	lease, err := status.ShowLease(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	intent, err := intentOf(lease.Rollout)
	if err != nil {
		return nil, err
	}
	if intent == nil {
		return nil, ErrNoRollout
	}
	if intent.Replace != nil {
		return nil, &UnfinishedReplacement{*intent.Replace}
	}
	o.Outlive = true
	if len(o.Hosts) == 0 {
		o.Hosts = intent.Hosts
	}
	return o.roll(ctx, func(ctx context.Context, u *update) (*UpdateResult, error) { return u.resume(ctx, *intent) })
}

func (u *update) resume(ctx context.Context, was Intent) (*UpdateResult, error) {
	u.kind, u.from, u.final, u.To = was.Kind, was.From, was.Final, was.Final
	u.Interrupt, u.Soak, u.DrainWithin, u.Until, u.done = was.Interrupt, was.Soak, was.Drain, was.Until, was.Done
	u.before, u.resumed = was.Before, true
	u.Observer.Observe(event.Event{Kind: event.Note,
		Text: fmt.Sprintf("going on with the %s to %s that %s began with run %s", was.Kind, was.To, was.Who, was.Run)})
	if _, err := u.work.Releases(ctx, true); err != nil {
		return nil, err
	}
	t, err := u.work.Plan(ctx, was.To, was.Kind.goesBack())
	if err != nil {
		return nil, err
	}
	if err := u.adopt(ctx, t); err != nil || u.DryRun {
		return nil, err
	}
	result, err := u.leg(ctx, was.To, nil)
	if err != nil || was.To == was.Final || was.Final == "" {
		return result, err
	}
	u.done, u.before, u.resumed = nil, nil, false
	if err := u.work.Refresh(ctx); err != nil {
		return result, err
	}
	return u.forward(ctx)
}

// adopt brings to its end what an earlier controller began: what runs on the hosts, and the
// watching of those that it did not see to their end. They are judged as it would have.
func (u *update) adopt(ctx context.Context, t *installer.Target) error {
	left := u.work.Unfinished()
	ended := u.unwatched(left)
	if len(left)+len(ended) == 0 || u.DryRun {
		return nil
	}
	held, holding, err := u.work.Hold(ctx, nil)
	if err != nil {
		return err
	}
	errs := make([]error, len(left)+len(ended))
	var mu sync.Mutex
	var wg sync.WaitGroup
	take := func(i int, host string, one func() (*HostRecord, error)) {
		wg.Go(func() {
			var r *HostRecord
			if r, errs[i] = one(); errs[i] == nil && r != nil {
				mu.Lock()
				defer mu.Unlock()
				put(&u.done, host, *r)
			}
		})
	}
	for i, l := range left {
		take(i, l.Host, func() (*HostRecord, error) { return u.adoptOne(holding, t, l) })
	}
	for i, e := range ended {
		take(len(left)+i, e.Host, func() (*HostRecord, error) { return u.adoptEnded(holding, t, e) })
	}
	wg.Wait()
	errs = append(errs, held.Release(ctx))
	for _, l := range slices.Concat(left, ended) {
		errs = append(errs, u.work.RefreshOne(ctx, l.Host))
	}
	return errors.Join(errs...)
}

// unwatched are the hosts' last transactions that ended while nobody saw it, or whose hosts
// nobody watched to the end of the soak. left are those that have not ended.
func (u *update) unwatched(left []installer.Unfinished) []installer.Unfinished {
	var all []installer.Unfinished
	for _, h := range u.work.Hosts {
		_, begun := u.before[h.Name]
		_, done := u.done[h.Name]
		if !begun || done || slices.ContainsFunc(left, func(l installer.Unfinished) bool { return l.Host == h.Name }) {
			continue
		}
		if t := txn.Current(h.Facts().Transactions); t != nil {
			all = append(all, installer.Unfinished{Host: h.Name, Summary: *t})
		}
	}
	return all
}

// adopter is a driver for what was begun before, and the record that it writes into.
func (u *update) adopter(t *installer.Target, l installer.Unfinished) (*driver, *HostRecord) {
	return &driver{update: u, target: t, preview: &Preview{}},
		&HostRecord{Host: l.Host, From: u.from, To: l.Release, Started: l.Started, Wave: 1}
}

// adoptOne follows one transaction. Its result is nil where it only fetched, or belongs to
// another release than the rollout's.
func (u *update) adoptOne(ctx context.Context, t *installer.Target, l installer.Unfinished) (*HostRecord, error) {
	f, r := u.adopter(t, l)
	refused := false
	approve := func(ctx context.Context) (err error) {
		defer func() { refused = err != nil && ctx.Err() == nil && !fleet.Unheard(err) }()
		if l.Release != t.Manifest.Version {
			return &problem.Error{Kind: problem.Failed, Doing: "adopting the switch to", Object: l.Release,
				Err: fmt.Errorf("the rollout is to %s", t.Manifest.Version)}
		}
		return f.proveHealth(ctx, t, l.Host, u.before[l.Host].Served, r)
	}
	done, err := u.work.Adopt(ctx, l, approve, f.nothingElsewhere(l.Host))
	if err != nil {
		return nil, err
	}
	if l.Stage || l.Release != t.Manifest.Version {
		return nil, nil
	}
	if err := f.conclude(done, r); err != nil && r.Outcome == Running {
		return nil, err
	}
	if r.Outcome == Failed && l.Half == step.Fetch {
		return nil, nil // it changed nothing that serves: it gets its turn
	}
	if r.Outcome == RolledBack && done.Result.Step == "" && (l.Undoing || !refused) {
		return nil, nil // nobody was there to confirm it, as in adoptEnded: it gets its turn
	}
	return f.watched(ctx, l.Host, r)
}

// adoptEnded judges a host whose transaction has ended by itself, or was confirmed by a
// controller that did not watch it to the end. Its result is nil where the host gets its turn
// again: that one was not the rollout's, or ended as it did because nobody was there.
func (u *update) adoptEnded(ctx context.Context, t *installer.Target, l installer.Unfinished) (*HostRecord, error) {
	if l.RunID != u.before[l.Host].Run || l.Release != t.Manifest.Version || l.Result == nil {
		return nil, nil
	}
	f, r := u.adopter(t, l)
	_ = f.conclude(fleet.End{ID: l.ID, Result: *l.Result}, r) // its reason is in r
	switch {
	case r.Outcome == Quarantined, r.Outcome == RolledBack && l.Result.Step != "":
		r.Ended = l.Ended
		return r, nil
	case r.Outcome != Updated: // nobody was there to confirm it, or recordings went on: no fault of the release
		return nil, nil
	}
	if err := f.proveHealth(ctx, t, l.Host, u.before[l.Host].Served, r); err != nil && ctx.Err() == nil && !fleet.Unheard(err) {
		_ = f.takeBack(ctx, l.Host, err, r) // why and what came of it is in r
		r.Ended = u.Now()
		return r, nil
	}
	return f.watched(ctx, l.Host, r)
}

// watched watches an adopted host that is updated to the end of a soak. One that cannot be is
// an error: whoever goes on then does it.
func (d *driver) watched(ctx context.Context, host string, r *HostRecord) (*HostRecord, error) {
	if r.Outcome == Updated {
		if err := d.proven(ctx, host, r); r.Outcome == Running {
			return nil, err
		}
	}
	r.Ended = d.Now()
	return r, nil
}
