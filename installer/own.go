package installer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Own is a host's own view of its site: what it would do to itself for a release that it
// has verified itself, by the copy of the site that a person has left there. Nothing of it
// comes from whoever asks. Its methods may be called for several requests at once.
type Own struct {
	run  run
	host site.Host
	is   facts.Installed
	seen release.State // by this host, from every controller

	mu      sync.Mutex
	repo    *release.Repository
	targets map[string]*Target
}

// OpenOwn reads the copy that is in a folder of this host. is and seen are what the host
// says of itself. Of the options only the clock counts.
func OpenOwn(o Options, folder string, is facts.Facts, seen *release.State) (*Own, error) {
	s, err := site.Load(filepath.Join(folder, "site.yaml"), "")
	if err != nil {
		return nil, err
	}
	no := func(format string, args ...any) (*Own, error) {
		return nil, &problem.Error{Kind: problem.Trust, Doing: "reading", Object: s.File(), Err: fmt.Errorf(format, args...),
			Fix: "valtctl schedule enable writes it anew"}
	}
	if is.Installed == nil || is.Installed.Site != s.ID {
		return no("it is of site %s, and this host is not", s.ID)
	}
	h, ok := s.Host(is.Installed.Host)
	if !ok {
		return no("it has no host %s, which this one is", is.Installed.Host)
	}
	own := &Own{host: h, is: *is.Installed, targets: map[string]*Target{}}
	if seen != nil {
		own.seen = *seen
	}
	own.run = run{Options: Options{Site: s, StateDir: folder, Observer: event.Silent{}, Now: o.Now}, hosts: s.Hosts}
	if own.run.material, err = readMaterial(s, o.Now()); err != nil {
		return nil, err
	}
	// Steps of other hosts count only as questions about them, which no fact of theirs is in.
	own.run.facts = make([]agent.FactsReply, len(s.Hosts))
	for i := range own.run.facts {
		own.run.facts[i].Facts = is
	}
	return own, nil
}

// Site is the copy.
func (o *Own) Site() *site.Site { return o.run.Site }

// Host is this host in it.
func (o *Own) Host() site.Host { return o.host }

// Secrets are what this host's own steps may ask for.
func (o *Own) Secrets() map[string][]byte { return o.run.material.secrets(o.host.Name) }

// State is what this host trusts of the release repository.
func (o *Own) State() release.State {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.repo == nil {
		return o.seen
	}
	return o.repo.State()
}

// Target is what this host would do for a release. One that it has not verified, or that is
// older than what it has, is refused with a problem of kind Trust.
func (o *Own) Target(ctx context.Context, version string) (*Target, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if t := o.targets[version]; t != nil {
		return t, nil
	}
	if version == "" || release.Newest([]string{o.is.Release, version}) != version {
		return nil, &problem.Error{Kind: problem.Trust, Doing: "judging release", Object: version,
			Err: fmt.Errorf("this host has %s, and the schedule's key only goes forward", o.is.Release), Fix: "a person goes back: valtctl rollback"}
	}
	if err := o.refresh(ctx); err != nil {
		return nil, err
	}
	c, err := readRelease(ctx, o.repo, o.run.Site, version)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Trust, Doing: "judging release", Object: version, Err: err,
			Fix: "this host takes only what it has verified itself; see release.url in the site file, and valtctl check update"}
	}
	w := &Work{run: &o.run, repo: o.repo}
	t, err := w.target(ctx, c, false)
	if err != nil {
		return nil, err
	}
	o.targets[version] = t
	return t, nil
}

// refresh reads the releases once. A repository that is out of reach is read as this host
// last verified it; one that is not as it should be is not read.
func (o *Own) refresh(ctx context.Context) error {
	if o.repo != nil {
		return nil
	}
	repo, err := openRepository(o.run.Options, o.run.material)
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
	if err := release.NotOlder(repo.State(), o.seen, o.host.Name); err != nil {
		return err
	}
	o.repo = repo
	return nil
}
