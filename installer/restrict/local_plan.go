package restrict

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// LocalPlan is a host's own view of its site: what it would do to itself for a release that
// it has verified itself, by the copy of the site that a person has left there. Nothing of it
// comes from whoever asks. Its methods may be called for several requests at once.
type LocalPlan struct {
	site     *site.Site
	host     site.Host
	facts    facts.Facts
	seen     release.State // by this host, from every controller
	material *inputs.Material
	source   inputs.Source
	now      func() time.Time
	phased   func(site, version string, percent int) bool

	mu    sync.Mutex
	repo  *release.Repository
	plans map[string]*Planned // by release
}

// Planned is what a host would do for a release.
type Planned struct {
	Manifest *release.Manifest
	Plan     *plan.Plan
	Digest   string // of the plan
}

// LocalOptions are what a host's own view of its site is read with. All of it is needed.
type LocalOptions struct {
	Folder string // of this host's copy of the site file
	Now    func() time.Time
	// Facts and Seen are what the host says of itself, and has seen of the release repository.
	Facts facts.Facts
	Seen  *release.State // nil: nothing
	// Phased says whether a site is among the share, in percent, of all sites that are to have a
	// release by now (package updater/schedule).
	Phased func(site, version string, percent int) bool
}

// OpenLocalPlan reads the copy that is in a folder of this host. One that is not this host's is a
// problem of kind Trust.
func OpenLocalPlan(o LocalOptions) (*LocalPlan, error) {
	s, err := site.Load(filepath.Join(o.Folder, "site.yaml"), "")
	if err != nil {
		return nil, err
	}
	no := func(format string, args ...any) (*LocalPlan, error) {
		return nil, &problem.Error{Kind: problem.Trust, Doing: "reading", Object: s.File(), Err: fmt.Errorf(format, args...),
			Fix: "valtctl schedule enable writes it anew"}
	}
	if o.Facts.Installed == nil || o.Facts.Installed.Site != s.ID {
		return no("it is of site %s, and this host is not", s.ID)
	}
	h, ok := s.Host(o.Facts.Installed.Host)
	if !ok {
		return no("it has no host %s, which this one is", o.Facts.Installed.Host)
	}
	l := &LocalPlan{site: s, host: h, facts: o.Facts, now: o.Now, phased: o.Phased, plans: map[string]*Planned{}}
	if o.Seen != nil {
		l.seen = *o.Seen
	}
	if l.material, err = inputs.ReadMaterial(s, o.Now(), nil); err != nil {
		return nil, err
	}
	l.source = inputs.Source{Site: s, Trust: l.material.Trust, Dir: filepath.Join(o.Folder, "tuf"), Now: o.Now, Observer: event.Silent{}}
	return l, nil
}

// About is the copy, and this host in it.
func (l *LocalPlan) About() (*site.Site, site.Host) { return l.site, l.host }

// Secrets are what this host's own steps may ask for.
func (l *LocalPlan) Secrets() map[string][]byte { return l.material.Secrets(l.host.Name) }

// State is what this host trusts of the release repository.
func (l *LocalPlan) State() release.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.repo == nil {
		return l.seen
	}
	return l.repo.State()
}

// Plan is what this host would do for a release. One that it has not verified, or that is
// older than what it has, is refused with a problem of kind Trust.
func (l *LocalPlan) Plan(ctx context.Context, version string) (*Planned, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.plans[version]; p != nil {
		return p, nil
	}
	if has := l.facts.Installed.Release; version == "" || release.Newest([]string{has, version}) != version {
		return nil, refuse(keyuse.Back, "release "+version, "this host has %s, and the schedule's key only goes forward", has)
	}
	if err := l.refresh(ctx); err != nil {
		return nil, err
	}
	rel, err := inputs.ReadRelease(ctx, l.repo, l.site, version)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Trust, Doing: "judging release", Object: version, Err: err,
			Fix: "this host takes only what it has verified itself; see release.url in the site file, and valtctl check update"}
	}
	built, err := plan.Build(ctx, l.input(rel))
	if err != nil {
		return nil, err
	}
	digest, err := built.Digest()
	if err != nil {
		return nil, err
	}
	l.plans[version] = &Planned{rel.Manifest, built, digest}
	return l.plans[version], nil
}

// input is what the site's update to a release is planned of. Other hosts count only as
// questions about them, which no fact of theirs is in, so they get this host's.
func (l *LocalPlan) input(rel *inputs.Release) plan.Input {
	in := plan.Input{Site: l.site, Manifest: rel.Manifest, Compose: rel.Compose, Public: l.material.Public(), Update: true,
		Hosts: map[string]plan.HostFacts{}}
	for _, h := range l.site.Hosts {
		in.Hosts[h.Name] = plan.HostFacts{Codename: l.facts.OS.Codename, Arch: l.facts.Arch, TimeService: l.facts.Clock.Service}
	}
	return in
}

// refresh reads the releases once. A repository that is out of reach is read as this host
// last verified it; one that is not as it should be is not read.
func (l *LocalPlan) refresh(ctx context.Context) error {
	if l.repo != nil {
		return nil
	}
	repo, err := l.source.Open()
	if err != nil {
		return err
	}
	if err := repo.Refresh(ctx); err != nil {
		if problem.KindOf(err) == problem.Trust {
			return err
		}
		if last := repo.LoadLast(); last != nil {
			return errors.Join(err, last)
		}
	}
	if err := release.NotOlder(repo.State(), l.seen, l.host.Name); err != nil {
		return err
	}
	l.repo = repo
	if l.site.Release.Version == "" {
		_, _ = repo.Pointer(ctx, l.site.Release.Channel) // it is kept for when the repository is out of reach; Offered tells the error
	}
	return nil
}
