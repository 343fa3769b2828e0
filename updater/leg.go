package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
	"ipivs.com/valtctl/updater/window"
)

// leg brings the hosts to one release; after it others may follow (via).
func (u *update) leg(ctx context.Context, to string, via []string) (*UpdateResult, error) {
	t, err := u.work.Plan(ctx, to, u.kind.goesBack())
	if err != nil {
		return nil, err
	}
	if u.kind != KindRepair {
		err = u.refuseQuarantined()
	}
	if err := errors.Join(u.work.Precheck(t, u.takesOver()), err, u.refuseDatabase(ctx, t)); err != nil {
		return nil, err
	}
	mediaFirst, either, err := u.order(ctx, t)
	if err != nil {
		return nil, err
	}
	p, err := u.preview(ctx, t)
	if err == nil {
		err = u.refuseFullEngines(p)
	}
	if err != nil {
		return nil, err
	}
	p.Via = via
	r := u.rollout(t, p, mediaFirst, either)
	for name, wave := range r.Waves() {
		p.Host(name).Wave = wave
	}
	windows, err := window.Of(u.Site.Updates)
	if err != nil {
		return nil, err
	}
	p.time(u.Now(), windows)
	p.Offline = p.streams(u.Site)
	result := &UpdateResult{Preview: p}
	if u.DryRun || !p.Differs() && !u.resumed {
		return result, nil
	}
	if u.Agree != nil {
		if err := u.Agree(ctx, p); err != nil {
			return result, err
		}
	}
	result.Report, err = u.run(ctx, r)
	return result, err
}

// containerRoom is how many bytes the engine's disk must have free for containers that are made anew, whose
// images are there: their layers, logs and the engine's own books.
const containerRoom = 64 << 20

// refuseFullEngines leaves hosts alone whose engine could make no container: they would only go back again,
// after a drain. Room for what is still to be fetched is the fetching's to judge.
func (u *update) refuseFullEngines(p *Preview) error {
	var errs []error
	for _, h := range p.Hosts {
		if !slices.ContainsFunc(h.Steps, func(s StepPreview) bool { return s.Kind == docker.KindContainer }) {
			continue
		}
		if fs, known := u.work.EngineDisk(h.Host); known && fs.Free < containerRoom {
			errs = append(errs, &problem.Error{Kind: problem.Check, Doing: "checking the space of host", Object: h.Host,
				Err: fmt.Errorf("%s has %d bytes free, and the engine makes its containers there, which takes %d", fs.Mount, fs.Free, containerRoom),
				Fix: "make room there or enlarge the file system, then run the command again; nothing was changed"})
		}
	}
	return errors.Join(errs...)
}

// refuseQuarantined leaves hosts alone that are neither old nor new.
func (u *update) refuseQuarantined() error {
	var errs []error
	for _, h := range u.work.Hosts {
		if id := installer.Quarantined(h); id != "" {
			errs = append(errs, &problem.Error{Kind: problem.Check, Doing: "checking host", Object: h.Name,
				Err: fmt.Errorf("it is in quarantine since transaction %s", id), Fix: "valtctl history tells why; valtctl repair leads out of it"})
		}
	}
	return errors.Join(errs...)
}

// order says whether media servers go before the application, and whether either may. A
// rollback goes the way back: what may be changed last may go back first.
func (u *update) order(ctx context.Context, t *installer.Target) (mediaFirst, either bool, err error) {
	if u.kind == KindSettings || u.kind == KindRepair {
		return true, true, nil
	}
	if u.kind == KindRollback {
		newer, err := u.work.Manifest(ctx, u.from)
		if err != nil {
			return false, false, err
		}
		media, app, err := Order(t.Manifest.Version, newer)
		return app, media && app, err
	}
	media, app, err := Order(u.from, t.Manifest)
	return media, media && app, err
}

// rollout is the arithmetic of this leg.
func (u *update) rollout(t *installer.Target, p *Preview, mediaFirst, either bool) *Rollout {
	r := &Rollout{About: About{Run: u.Run, Kind: u.kind, Site: u.Site.ID, From: u.from, To: t.Manifest.Version, Who: u.Who,
		PlanDigest: t.Digest, Images: digests(t.Manifest)},
		Driver: &driver{update: u, target: t, preview: p}, Now: u.Now, Observer: u.Observer, MediaFirst: mediaFirst, Either: either, Done: u.done, AtOnce: u.Limit,
		Policy: Policy{Canary: u.Site.Updates.Canary, Wave: u.Site.Updates.Wave, MaxFailures: u.Site.Updates.MaxFailures,
			MinMediaServing: u.Site.Updates.MinMediaServing}}
	for _, h := range u.Site.Hosts {
		if mine, err := u.work.Host(h.Name); err == nil {
			r.Hosts = append(r.Hosts, Host{Name: h.Name, Roles: h.Roles, Serves: serves(mine.Facts().Facts)})
		} else {
			r.Beside = append(r.Beside, Host{Name: h.Name, Roles: h.Roles}) // asked before anything is begun
		}
	}
	r.Serving = u.serving
	if !u.Until.IsZero() {
		r.Fits = u.fits
	}
	if !slices.ContainsFunc(r.Hosts, func(h Host) bool { return h.Name == r.Policy.Canary }) {
		r.Policy.Canary = ""
	}
	return r
}

// digests are a release's images, for the report.
func digests(m *release.Manifest) map[string]string {
	all := map[string]string{}
	for name, image := range m.Images {
		for platform, p := range image.Platforms {
			all[name+" "+platform] = p.Manifest
		}
	}
	return all
}

// serving asks the site's hosts again whether they serve. One that cannot be asked is left out.
func (u *update) serving(ctx context.Context) map[string]bool {
	all := map[string]bool{}
	var mu sync.Mutex
	_ = fleet.Each(u.work.Whole(), func(h *fleet.Host) error { // who cannot be asked does not count
		if !h.HasEngine() || !h.Connected() {
			return nil
		}
		reply, err := h.AskFacts(ctx, false)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			all[h.Name] = serves(reply.Facts)
		}
		return nil
	})
	return all
}

// serves says whether a host's gate is open, all of its containers run and none is known to be
// ill.
func serves(f facts.Facts) bool {
	if f.GateClosed || f.Engine == nil || len(f.Engine.Containers) == 0 {
		return false
	}
	for _, c := range f.Engine.Containers {
		if c.State != "running" || c.Health == "unhealthy" {
			return false
		}
	}
	return true
}

// expected is how long a host's update takes, by what its earlier ones took.
func (u *update) expected(host string) time.Duration {
	e := u.estimate(host)
	return e.Update + e.Soak
}

// estimate is how long a host's part may take, by what it took before.
func (u *update) estimate(host string) Estimate {
	var updates, backs []time.Duration
	for _, past := range u.past(host) {
		if past.Stage || past.Ended.IsZero() {
			continue
		}
		switch took := past.Ended.Sub(past.Started); past.State {
		case txn.StateDone:
			updates = append(updates, took)
		case txn.StateRolledBack:
			backs = append(backs, took)
		}
	}
	return EstimateOf(updates, backs, u.Soak)
}

// past lists a host's last transactions, newest first; none of one that the run does not have.
func (u *update) past(host string) []txn.Summary {
	h, err := u.work.Host(host)
	if err != nil {
		return nil
	}
	return h.Facts().Transactions
}

// fits says why a host may not be started any more before the window closes.
func (u *update) fits(host string, now time.Time) error {
	return u.estimate(host).FitsBefore(u.Until, now)
}

// drainWithin is how long a host's recordings are waited for at now.
func (u *update) drainWithin(host string, now time.Time) time.Duration {
	if u.Until.IsZero() {
		return u.DrainWithin
	}
	return u.estimate(host).DrainBefore(u.Until, now, u.DrainWithin)
}
