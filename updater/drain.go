package updater

import (
	"context"
	"errors"
	"fmt"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater/drain"
)

// Drain keeps new sessions out of a host and waits for its recordings, until Undrain.
// Where they go on beyond o.DrainWithin the gate is opened again.
func Drain(ctx context.Context, o Options, host string) error {
	return o.gate(ctx, host, func(u *update, t *installer.Target) ([]step.Spec, error) {
		h, _ := u.Site.Host(host)
		if h.HasEngine() {
			u.Observer.Observe(event.Event{Kind: event.Note, Host: host, Text: OfflineMails([]Offline{{Host: host}}, "from now on until it takes sessions again")})
		}
		params, err := drain.For(u.Site, h, t.Manifest, u.DrainWithin, u.Interrupt)
		if err != nil {
			return nil, err
		}
		return withDrain(nil, params)
	})
}

// Undrain lets new sessions into a host again.
func Undrain(ctx context.Context, o Options, host string) error {
	return o.gate(ctx, host, func(u *update, _ *installer.Target) ([]step.Spec, error) {
		raw, err := mustJSON(drain.OpenFor(u.Site))
		return []step.Spec{{ID: "open", Kind: drain.KindOpen, Title: "new sessions again", Half: step.Apply,
			Disrupts: step.Nothing, Params: raw}}, err
	})
}

// gate has a host do one thing with its gate, under the site's lease.
func (o Options) gate(ctx context.Context, host string, steps func(*update, *installer.Target) ([]step.Spec, error)) error {
	o.Hosts = []string{host}
	_, err := o.rollFrom(ctx, installer.BeginBare, func(ctx context.Context, u *update) (*UpdateResult, error) {
		was := u.work.Facts(host).Installed
		if was == nil {
			return nil, &problem.Error{Kind: problem.Check, Doing: "draining host", Object: host,
				Err: errors.New("VALT is not installed there"), Fix: "valtctl install"}
		}
		if _, err := u.work.Releases(ctx, true); err != nil {
			return nil, err
		}
		t, err := u.work.Plan(ctx, was.Release, false)
		if err != nil {
			return nil, err
		}
		specs, err := steps(u, t)
		if err != nil {
			return nil, err
		}
		return nil, u.single(ctx, t, host, specs)
	})
	return err
}

// single has a host do some steps, if any of them finds something to do.
func (u *update) single(ctx context.Context, t *installer.Target, host string, specs []step.Spec) error {
	if u.DryRun {
		return nil
	}
	held, holding, err := u.work.Hold(ctx, nil)
	if err != nil {
		return err
	}
	if err := u.takeOverDrains(holding); err != nil {
		return errors.Join(err, held.Release(ctx))
	}
	d := &driver{update: u, target: t}
	done, err := u.work.Do(holding, host, t, installer.Change{Steps: specs, Policy: txn.Allow, Partial: true, Yields: true, Quiet: d.nothingElsewhere(host)})
	if err == nil && done.Result.Err() != nil {
		err = fmt.Errorf("host %s: %w", host, done.Result.Err())
	}
	return errors.Join(err, held.Release(ctx))
}

// takesOver says whether what somebody's drain is at, which nobody follows any more, may be ended: by a person who
// changes the host, and by no clock.
func (u *update) takesOver() bool { return u.Until.IsZero() && !u.StageOnly }

// takeOverDrains ends drains by hand that nobody follows any more on the run's hosts: whoever holds the
// lease is the only one at work. Their gates are open then, unless the drain had come to its end.
func (u *update) takeOverDrains(ctx context.Context) error {
	var errs []error
	for _, l := range u.work.Unfinished() {
		if !l.Yields || !u.takesOver() {
			continue
		}
		u.Observer.Observe(event.Event{Kind: event.Note, Host: l.Host, Text: fmt.Sprintf("the drain that %s began is over: %s takes it over", l.Who, u.Who)})
		_, err := u.work.CallOff(ctx, l, "taken over by "+u.Who)
		errs = append(errs, err, u.work.RefreshOne(ctx, l.Host))
	}
	return errors.Join(errs...)
}
