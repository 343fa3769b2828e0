package installer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// chosen is the release of a run: everything of it that a plan needs, and what the
// controller trusts now.
type chosen struct {
	repo     *release.Repository
	manifest *release.Manifest
	compose  map[site.Role][]byte
	state    release.State
	offline  bool // read from the last good refresh
}

// openRepository opens the site's release repository without using the network.
func openRepository(o Options, m *material) (*release.Repository, error) {
	roots, err := m.roots()
	if err != nil {
		return nil, err
	}
	client, err := release.NewClient(roots, o.Site.Network.Proxy)
	if err != nil {
		return nil, err
	}
	opts := release.Options{URL: o.Site.Release.URL, Dir: filepath.Join(o.StateDir, "tuf"), HTTP: client, Now: o.Now}
	if o.Carrier != nil {
		if opts.URL == "" {
			opts.URL = release.DefaultURL
		}
		opts.URL = strings.TrimSuffix(opts.URL, "/") + "/"
		opts.HTTP, opts.Now = o.Carrier.client(opts.URL), func() time.Time { return o.Carrier.Bundle.Contents.Made }
		o.Observer.Observe(event.Event{Kind: event.Note, Text: o.Carrier.age(o.Now())})
	}
	if path := o.Site.Release.Root; path != "" {
		if opts.Root, err = readCapped(path); err != nil {
			return nil, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(o.Site, "release.root"), Err: err,
				Fix: "name the root metadata of the repository that release.url names"}
		}
	}
	return release.Open(opts)
}

// Outward is how this machine reaches the vendor's servers, by the site's proxy and
// authorities, and the password of the registry.
func Outward(s *site.Site) (http.RoundTripper, []byte, error) {
	trust, err := readTrust(s)
	if err != nil {
		return nil, nil, err
	}
	m := &material{public: plan.Public{Trust: trust}}
	roots, err := m.roots()
	if err != nil {
		return nil, nil, err
	}
	client, err := release.NewClient(roots, s.Network.Proxy)
	if err != nil {
		return nil, nil, err
	}
	if s.Registry.PasswordFile == "" {
		return client.Transport, nil, nil
	}
	password, err := readCapped(s.Registry.PasswordFile)
	if err != nil {
		return nil, nil, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, "registry.password_file"), Err: err, Fix: "put the file there, or name another in the site file"}
	}
	return client.Transport, bytes.TrimSpace(password), nil
}

// choose resolves the site's channel or version, or the version that was asked for, to
// one verified release. With last, a repository that is out of reach or expired is
// replaced by what was verified before: that is enough to finish what was begun.
func choose(ctx context.Context, o Options, m *material, version string, last bool) (*chosen, error) {
	repo, old, err := refreshed(ctx, o, m, last)
	if err != nil {
		return nil, err
	}
	if old != nil {
		o.Observer.Observe(event.Event{Kind: event.Note, Text: fmt.Sprintf("going on with the releases known since the last look: %v", old)})
	}
	if version == "" {
		if version, err = resolve(ctx, repo, o); err != nil {
			return nil, err
		}
	}
	if o.Carrier != nil {
		if err := o.Carrier.fits(version); err != nil {
			return nil, err
		}
	}
	got, err := readRelease(ctx, repo, o.Site, version)
	if err != nil {
		return nil, err
	}
	got.offline = old != nil
	for _, e := range got.state.Expiring(o.Now()) {
		o.Observer.Observe(event.Event{Kind: event.Note, Text: e.String()})
	}
	return got, nil
}

// refreshed opens the repository and brings its metadata up to date. old is why what was
// verified before is used instead, which last allows.
func refreshed(ctx context.Context, o Options, m *material, last bool) (repo *release.Repository, old, err error) {
	if repo, err = openRepository(o, m); err != nil {
		return nil, nil, err
	}
	err = repo.Refresh(ctx)
	if err == nil {
		return repo, nil, nil
	}
	if !last || problem.KindOf(err) == problem.Trust && !errors.Is(err, release.ErrExpired) {
		return nil, nil, err
	}
	if lastErr := repo.LoadLast(); lastErr != nil {
		return nil, nil, errors.Join(err, lastErr)
	}
	return repo, err, nil
}

// readRelease is everything of one release that a plan of the site needs.
func readRelease(ctx context.Context, repo *release.Repository, s *site.Site, version string) (*chosen, error) {
	got := &chosen{repo: repo, compose: map[site.Role][]byte{}, state: repo.State()}
	var err error
	if got.manifest, err = repo.Manifest(ctx, version); err != nil {
		return nil, err
	}
	for _, r := range plan.ComposeRoles(s, got.manifest) {
		if got.compose[r], err = repo.Compose(ctx, got.manifest, string(r)); err != nil {
			return nil, err
		}
	}
	return got, nil
}

func resolve(ctx context.Context, repo *release.Repository, o Options) (string, error) {
	r := o.Site.Release
	if o.Carrier != nil && r.Version == "" {
		return o.Carrier.Bundle.Contents.Release, nil // it was made for this
	}
	if r.Version != "" {
		return r.Version, nil
	}
	return repo.Channel(ctx, r.Channel)
}
