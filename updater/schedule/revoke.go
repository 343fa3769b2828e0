package schedule

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/repos/problem"
)

// Disable ends it: the timer, the key and what the other hosts judged it by are removed, on every
// host that can be reached. Those that cannot be are in the change and in the error, a problem of
// kind Check; once they are back it is made again.
func Disable(ctx context.Context, o EnableOptions) (*Change, error) {
	return o.reachable(ctx, func(ctx context.Context, s *siteChange) error {
		home := fleet.LeaseHost(s.Site)
		var errs []error
		if s.reached(home.Name) {
			// A host that cannot let go of it now does not keep it on the others.
			errs = append(errs, s.stop(ctx, home.Name))
		} else {
			s.remains(home.Name)
		}
		return errors.Join(append(errs, s.shut(ctx, home.Name))...)
	})
}

// Rotate has the home make another key, and the other hosts take that alone. Where the home cannot
// be reached no host takes a key any more. From its first moment the key before is refused on every
// host that can be reached, also where somebody is connected with it. Errors are as Disable's.
func Rotate(ctx context.Context, o EnableOptions) (*Change, error) {
	return o.reachable(ctx, func(ctx context.Context, s *siteChange) error {
		home := fleet.LeaseHost(s.Site)
		if !s.reached(home.Name) {
			s.remains(home.Name)
			return s.shut(ctx, home.Name)
		}
		h, err := s.work.Host(home.Name)
		if err != nil {
			return err
		}
		if h.Facts().Schedule == nil {
			return errors.Join(s.shut(ctx, home.Name), notEnabled(s.Site))
		}
		if err := s.renew(ctx, home.Name); err != nil {
			return err
		}
		var errs []error
		for _, h := range s.others(home.Name) {
			errs = append(errs, s.other(ctx, h.Host))
		}
		return errors.Join(errs...)
	})
}

// reachable does work on those of the site's hosts that can be reached, once none of them takes the
// key of unattended runs any more.
func (o EnableOptions) reachable(ctx context.Context, do func(ctx context.Context, s *siteChange) error) (*Change, error) {
	o.Hosts = nil
	work, lost, err := installer.BeginReachable(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	s := &siteChange{EnableOptions: o, work: work, change: &Change{Site: o.Site.ID}}
	var errs []error
	for _, u := range lost {
		s.change.Unreached = append(s.change.Unreached, u.Host)
		errs = append(errs, u.Err)
	}
	if len(work.Hosts) > 0 {
		errs = append(errs, s.revokeAll(ctx), s.afterwards(ctx, do))
	}
	return s.change, errors.Join(append(errs, work.Close())...)
}

// afterwards does the work under the site's lease, or, where the host that keeps it is gone, in the
// place of whoever may hold it.
func (s *siteChange) afterwards(ctx context.Context, do func(ctx context.Context, s *siteChange) error) error {
	if _, err := s.work.Releases(ctx, true); err != nil {
		return err
	}
	switch {
	case s.DryRun:
		return do(ctx, s)
	case s.reached(fleet.LeaseHost(s.Site).Name):
		return s.held(ctx, do)
	}
	held, holding, err := s.work.Outrank(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(holding, s), held.Release(ctx))
}

// revokeAll has every host that was reached take no key any more, the home's own among them: should
// it come back from a backup, it is not taken again.
func (s *siteChange) revokeAll(ctx context.Context) error {
	if s.DryRun {
		return nil
	}
	var known []string
	if h, err := s.work.Host(fleet.LeaseHost(s.Site).Name); err == nil {
		if id := facts.KeyID(h.Facts().Facts.ScheduleKey); id != "" {
			known = append(known, id)
		}
	}
	var mu sync.Mutex
	return fleet.Each(s.work.Hosts, func(h *fleet.Host) error {
		was, err := h.Revoke(ctx, agent.RevokeRequest{Keys: known})
		if left, ok := h.Unfinished(); ok && err == nil && was.Was != "" {
			mu.Lock()
			defer mu.Unlock()
			s.note("%s is at work on transaction %s; the former key ends nothing there any more, and begins nothing: see valtctl status", h.Name, left.ID)
		}
		return err
	})
}

func (s *siteChange) note(format string, args ...any) {
	s.change.Notes = append(s.change.Notes, fmt.Sprintf(format, args...))
}

// remains tells what is left on a home that cannot be reached.
func (s *siteChange) remains(home string) {
	s.note("%s could not be reached: its timer and its key are still there, and no host that was reached takes that key any more. "+
		"Once it is back: valtctl schedule disable, or valtctl schedule enable, which makes another key", home)
	for _, u := range s.change.Unreached {
		if u != home {
			s.note("%s could not be reached either, and takes the key as before", u)
		}
	}
}

func (s *siteChange) reached(host string) bool {
	return slices.ContainsFunc(s.work.Hosts, func(h *fleet.Host) bool { return h.Name == host })
}

// others are the hosts that were reached and have something, without the home.
func (s *siteChange) others(home string) []*fleet.Host {
	var all []*fleet.Host
	for _, h := range s.work.Hosts {
		switch {
		case h.Name == home:
		case h.Facts().Facts.Installed == nil:
			s.note("%s has nothing of VALT, and so no access for a key", h.Name)
		default:
			all = append(all, h)
		}
	}
	return all
}

// stop removes the timer, the key and what the home worked from.
func (s *siteChange) stop(ctx context.Context, home string) error {
	if s.work.Facts(home).Installed == nil {
		return &problem.Error{Kind: problem.Check, Doing: "checking host", Object: home, Err: errors.New("VALT is not installed there"), Fix: "valtctl install"}
	}
	units := path.Join("/etc/systemd/system", UnitName)
	b := &specs{}
	b.absent("schedule-timer", "timer "+UnitName, []string{UnitName + ".timer"},
		path.Join("/etc/systemd/system/timers.target.wants", UnitName+".timer"), units+".timer", units+".service")
	id := s.Site.ID
	b.absent("schedule-files", "what the schedule worked from", nil, facts.ScheduleFolder(id), facts.ScheduleState(id), facts.ScheduleNotices(id),
		facts.SchedulePause(id), path.Dir(facts.ScheduleKey), aptFile)
	return s.do(ctx, home, b)
}

// shut has the other hosts take no key, and removes what they judged it by.
func (s *siteChange) shut(ctx context.Context, home string) error {
	var errs []error
	for _, h := range s.others(home) {
		b := &specs{}
		b.add("schedule-access", "access for the key", files.AuthorizedKeyKind(), files.AuthorizedKeyParams{User: s.Logins[h.Name].User, Comment: keyComment})
		b.absent("schedule-files", "what the key's requests were judged by", nil, sudoers, facts.Restricted, aptFile)
		errs = append(errs, s.do(ctx, h.Name, b))
	}
	return errors.Join(errs...)
}

// renew has the home make another key.
func (s *siteChange) renew(ctx context.Context, home string) error {
	b := &specs{}
	b.absent("schedule-former-key", "the former key", nil, facts.ScheduleKey, facts.ScheduleKey+".pub")
	if err := s.do(ctx, home, b); err != nil {
		return err
	}
	s.renewed = true
	b = &specs{}
	s.addKey(b)
	if err := s.do(ctx, home, b); err != nil {
		return err
	}
	return s.learnKey(ctx, home)
}

// forgetRevoked has a home whose key some host has revoked make another one: it was away when that
// was rotated, and whoever has its key is nobody to be let in again.
func (s *siteChange) forgetRevoked(ctx context.Context, home string) error {
	id := facts.KeyID(s.work.Facts(home).ScheduleKey)
	revoked := slices.ContainsFunc(s.work.Hosts, func(h *fleet.Host) bool {
		return slices.Contains(h.Facts().Facts.RevokedKeys, id)
	})
	if id == "" || !revoked {
		return nil
	}
	s.note("the key of %s was revoked while it was away; it makes another one", home)
	return s.renew(ctx, home)
}
