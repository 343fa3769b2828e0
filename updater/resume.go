package updater

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/step"
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
	o.Outlive = true
	if len(o.Hosts) == 0 {
		o.Hosts = intent.Hosts
	}
	return o.roll(ctx, func(ctx context.Context, u *update) (*UpdateResult, error) { return u.resume(ctx, *intent) })
}

func (u *update) resume(ctx context.Context, was Intent) (*UpdateResult, error) {
	u.kind, u.from, u.final, u.To = was.Kind, was.From, was.Final, was.Final
	u.Interrupt, u.Soak, u.DrainWithin, u.Until, u.done = was.Interrupt, was.Soak, was.Drain, was.Until, was.Done
	u.Observer.Observe(event.Event{Kind: event.Note,
		Text: fmt.Sprintf("going on with the %s to %s that %s began with run %s", was.Kind, was.To, was.Who, was.Run)})
	if _, err := u.work.Releases(ctx, true); err != nil {
		return nil, err
	}
	t, err := u.work.Plan(ctx, was.To, was.Kind == KindRollback)
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
	u.done = nil
	if err := u.work.Refresh(ctx); err != nil {
		return result, err
	}
	return u.forward(ctx)
}

// adopt brings what runs on the hosts to its end. A host that has switched is judged as
// the controller before would have.
func (u *update) adopt(ctx context.Context, t *installer.Target) error {
	left := u.work.Unfinished()
	if len(left) == 0 || u.DryRun {
		return nil
	}
	held, holding, err := u.work.Hold(ctx, nil)
	if err != nil {
		return err
	}
	if u.done == nil {
		u.done = map[string]HostRecord{}
	}
	errs := make([]error, len(left))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, l := range left {
		wg.Go(func() {
			var r *HostRecord
			if r, errs[i] = u.adoptOne(holding, t, l); errs[i] == nil && r != nil {
				mu.Lock()
				u.done[l.Host] = *r
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	errs = append(errs, held.Release(ctx))
	for _, l := range left {
		errs = append(errs, u.work.RefreshOne(ctx, l.Host))
	}
	return errors.Join(errs...)
}

// adoptOne follows one transaction. Its result is nil where it only fetched, or belongs to
// another release than the rollout's.
func (u *update) adoptOne(ctx context.Context, t *installer.Target, l installer.Unfinished) (*HostRecord, error) {
	f := &driver{update: u, target: t, preview: &Preview{}}
	r := &HostRecord{Host: l.Host, From: u.from, To: l.Release, Started: l.Started, Wave: 1}
	approve := func(ctx context.Context) error {
		if l.Release != t.Manifest.Version {
			return &problem.Error{Kind: problem.Failed, Doing: "adopting the switch to", Object: l.Release,
				Err: fmt.Errorf("the rollout is to %s", t.Manifest.Version)}
		}
		return f.proveHealth(ctx, t, l.Host, State{}, r)
	}
	done, err := u.work.Adopt(ctx, l, approve)
	if err != nil {
		return nil, err
	}
	if l.Stage || l.Release != t.Manifest.Version {
		return nil, nil
	}
	r.Ended = u.Now()
	if err := f.conclude(done, r); err != nil && r.Outcome == Running {
		return nil, err
	}
	if r.Outcome == Failed && l.Half == step.Fetch {
		return nil, nil // it changed nothing that serves: it gets its turn
	}
	return r, nil
}
