package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Options are what a rollout is given. Those of installer and Kinds are needed.
type Options struct {
	fleet.Options
	Kinds step.Registry // for what a step says of its way back

	To        string // a version; empty: what the site file asks for
	StageOnly bool   // fetch everywhere, and change nothing that serves
	Interrupt bool   // recordings of the hosts named by Options.Hosts
	// Soak is how long a changed host is watched before the next; 0: DefaultSoak.
	Soak time.Duration
	// DrainWithin is how long a host's recordings are waited for; 0: DefaultDrain.
	DrainWithin time.Duration
	// Until is when the maintenance window closes: a host is started only if its update and
	// its way back end before, and recordings are waited for no longer than leaves time for
	// both. Zero: a person looks at the clock.
	Until time.Time
	// Agree is asked before the first change; nil: go on.
	Agree func(ctx context.Context, p *Preview) error
	// Comeback is nil where this machine's reboot is nobody's business.
	Comeback Comeback
}

// Comeback has the machine that a rollout runs on go on with it after a reboot.
type Comeback interface {
	// Arm is called before the first host is changed.
	Arm(ctx context.Context) error
	// End is called when this run ends; over says that nothing is left to go on with.
	End(ctx context.Context, over bool) error
}

// The times where nobody says otherwise.
const (
	DefaultSoak  = time.Minute
	DefaultDrain = 30 * time.Minute
)

// update is one rollout under way, with all the releases that it walks through.
type update struct {
	Options
	work  *installer.Run
	kind  Kind
	from  string // the oldest release that a host has
	final string // the release that all legs lead to
	// resumed says that an earlier controller began this leg: what stands beside the lease is to be
	// closed, also where nothing is left to do.
	resumed bool
	done    map[string]HostRecord // by that controller
	// before is what hosts served that an earlier controller began to change, and has not seen
	// to their end.
	before map[string]Begun
	// apart is a host that nobody asks whether it records: it does not serve. Empty: there is none.
	apart string
}

// UpdateResult is what a rollout came to. Report is nil where nothing was begun.
type UpdateResult struct {
	Preview *Preview `json:"preview,omitempty"`
	Report  *Report  `json:"report,omitempty"`
}

// Update brings the site's hosts to a newer release, or with the release that they have
// applies what the site file says by now.
func Update(ctx context.Context, o Options) (*UpdateResult, error) {
	return o.roll(ctx, func(ctx context.Context, u *update) (*UpdateResult, error) { return u.forward(ctx) })
}

// Rollback brings the site's hosts back to the release that they had before, or to o.To.
func Rollback(ctx context.Context, o Options) (*UpdateResult, error) {
	return o.roll(ctx, func(ctx context.Context, u *update) (*UpdateResult, error) { return u.back(ctx) })
}

// Repair leads hosts out of quarantine, to the release that they say they have.
func Repair(ctx context.Context, o Options) (*UpdateResult, error) {
	return o.roll(ctx, func(ctx context.Context, u *update) (*UpdateResult, error) { return u.repair(ctx) })
}

// roll connects, does one rollout and leaves.
func (o Options) roll(ctx context.Context, do func(context.Context, *update) (*UpdateResult, error)) (*UpdateResult, error) {
	return o.rollFrom(ctx, installer.Begin, do)
}

// rollFrom is roll with as much of the site's files as begin reads.
func (o Options) rollFrom(ctx context.Context, begin func(context.Context, fleet.Options) (*installer.Run, error),
	do func(context.Context, *update) (*UpdateResult, error)) (*UpdateResult, error) {
	if o.Soak == 0 {
		o.Soak = DefaultSoak
	}
	if o.DrainWithin == 0 {
		o.DrainWithin = DefaultDrain
	}
	if o.Interrupt && len(o.Hosts) == 0 {
		return nil, &problem.Error{Kind: problem.Input, Doing: "interrupting recordings", Err: errors.New("no host is named"),
			Fix: "name each host whose recordings may be cut: --host H"}
	}
	work, err := begin(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	result, err := do(ctx, &update{Options: o, work: work})
	return result, errors.Join(err, work.Close())
}

// forward walks from the oldest installed release to the one that is wanted.
func (u *update) forward(ctx context.Context) (*UpdateResult, error) {
	versions, err := u.work.Releases(ctx, false)
	if err != nil {
		return nil, err
	}
	if u.from, err = u.oldest(); err != nil {
		return nil, err
	}
	to := u.To
	if to == "" {
		if to, err = u.work.Wanted(ctx); err != nil {
			return nil, err
		}
	}
	if release.Newest([]string{u.from, to}) != to {
		return nil, &problem.Error{Kind: problem.Input, Doing: "updating to", Object: to,
			Err: fmt.Errorf("the site has %s, which is newer", u.from), Fix: "go back with: valtctl rollback"}
	}
	if u.kind = KindUpdate; u.from == to {
		u.kind = KindSettings
		return u.leg(ctx, to, nil)
	}
	way, err := u.way(ctx, versions, to)
	if err != nil {
		return nil, err
	}
	return u.walk(ctx, way)
}

// walk does one rollout for each release on the way.
func (u *update) walk(ctx context.Context, way []string) (*UpdateResult, error) {
	var result *UpdateResult
	var earlier []*Report
	u.final = way[len(way)-1]
	for i, version := range way {
		var err error
		if result, err = u.leg(ctx, version, way[i+1:]); result != nil && result.Report != nil {
			result.Report.Earlier = earlier
		}
		if err != nil || u.DryRun || i+1 == len(way) {
			return result, err
		}
		if result.Report != nil {
			earlier = append(earlier, result.Report)
		}
		if err := u.work.Refresh(ctx); err != nil {
			return result, err
		}
		u.from, u.done, u.before = version, nil, nil
	}
	return result, nil
}

// way is the releases to walk through, to the one that is wanted.
func (u *update) way(ctx context.Context, versions []string, to string) ([]string, error) {
	if !slices.Contains(versions, to) {
		_, err := u.work.Manifest(ctx, to) // it says which there are
		return nil, err
	}
	var all []*release.Manifest
	for _, v := range versions {
		if v == u.from || release.Newest([]string{v, u.from}) != v || release.Newest([]string{v, to}) != to {
			continue
		}
		m, err := u.work.Manifest(ctx, v)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	manifests, err := release.Way(u.from, all)
	if err != nil {
		return nil, err
	}
	var way []string
	for _, m := range manifests {
		way = append(way, m.Version)
	}
	return way, nil
}

// oldest is the oldest release that a host has. A bare host is for install.
func (u *update) oldest() (string, error) {
	var versions []string
	var errs []error
	for _, h := range u.work.Hosts {
		was := u.work.Facts(h.Name).Installed
		if was == nil {
			errs = append(errs, &problem.Error{Kind: problem.Check, Doing: "checking host", Object: h.Name,
				Err: errors.New("VALT is not installed there"), Fix: "valtctl install"})
			continue
		}
		versions = append(versions, was.Release)
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	release.SortVersions(versions)
	return versions[0], nil
}

// back goes to the release before, or to the one that was asked for.
func (u *update) back(ctx context.Context) (*UpdateResult, error) {
	if _, err := u.work.Releases(ctx, true); err != nil {
		return nil, err
	}
	u.kind = KindRollback
	to, err := u.previous()
	if err != nil {
		return nil, err
	}
	u.final = to
	return u.leg(ctx, to, nil)
}

// previous is the release that a rollback goes to: the same for all hosts that have a
// newer one.
func (u *update) previous() (string, error) {
	var found []string
	for _, h := range u.work.Hosts {
		was := u.work.Facts(h.Name).Installed
		if was == nil {
			continue
		}
		u.from = release.Newest([]string{u.from, was.Release})
		if was.Previous != "" && was.Previous != was.Release && release.Newest([]string{was.Previous, was.Release}) == was.Release {
			found = append(found, was.Previous)
		}
	}
	found = slices.Compact(slices.Sorted(slices.Values(found)))
	no := func(format string, args ...any) error {
		return &problem.Error{Kind: problem.Input, Doing: "rolling back", Object: u.Site.ID, Err: fmt.Errorf(format, args...),
			Fix: "name the release to go to: --to V; valtctl history shows what was there"}
	}
	switch {
	case u.To != "" && release.Newest([]string{u.To, u.from}) != u.from:
		return "", no("%s is newer than %s; valtctl update goes there", u.To, u.from)
	case u.To != "":
		return u.To, nil
	case len(found) == 0:
		return "", no("no host remembers a release before %s", u.from)
	case len(found) > 1:
		return "", no("the hosts had different releases before: %v", found)
	}
	return found[0], nil
}

// repair brings quarantined hosts to the release that they say they have.
func (u *update) repair(ctx context.Context) (*UpdateResult, error) {
	if _, err := u.work.Releases(ctx, true); err != nil {
		return nil, err
	}
	u.kind = KindRepair
	var err error
	if u.from, err = u.oldest(); err != nil {
		return nil, err
	}
	u.final = u.from
	return u.leg(ctx, u.from, nil)
}

func joined(errs []error) error { return errors.Join(errs...) }
