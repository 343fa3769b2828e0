package inputs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Source is where a run reads the site's releases: the repository that the site file
// names, through the site's proxy, or a bundle. All but Bundle is needed.
type Source struct {
	Site     *site.Site
	Trust    Trust
	Dir      string // of the trusted metadata on this machine
	Now      func() time.Time
	Observer event.Observer
	Bundle   *bundle.Reader // nil: the site's own sources
}

// Release is one verified release: everything of it that a plan needs, and what the
// controller trusts now.
type Release struct {
	Manifest   *release.Manifest
	Compose    map[site.Role][]byte
	State      release.State
	Repository *release.Repository
}

// Open opens the release repository without using the network. One from a bundle is judged
// at the time when the bundle was made.
func (s Source) Open() (*release.Repository, error) {
	client, err := outward(s.Site, s.Trust)
	if err != nil {
		return nil, err
	}
	opts := release.Options{URL: s.Site.Release.URL, Dir: s.Dir, HTTP: client, Now: s.Now}
	if s.Bundle != nil {
		if opts.URL == "" {
			opts.URL = release.DefaultURL
		}
		opts.URL = strings.TrimSuffix(opts.URL, "/") + "/"
		opts.HTTP, opts.Now = bundleClient(s.Bundle, opts.URL), func() time.Time { return s.Bundle.Contents.Made }
		s.note(bundleAge(s.Bundle, s.Now()))
	}
	if path := s.Site.Release.Root; path != "" {
		if opts.Root, err = readText(path); err != nil {
			return nil, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s.Site, "release.root"), Err: err,
				Fix: "name the root metadata of the repository that release.url names"}
		}
	}
	return release.Open(opts)
}

func (s Source) note(text string) { s.Observer.Observe(event.Event{Kind: event.Note, Text: text}) }

// Resolve finds the site's channel or version, or the version that was asked for, and reads
// that release. last is as Refreshed's.
func (s Source) Resolve(ctx context.Context, version string, last bool) (*Release, error) {
	repo, err := s.Refreshed(ctx, last)
	if err != nil {
		return nil, err
	}
	if version == "" {
		if version, err = s.Wanted(ctx, repo); err != nil {
			return nil, err
		}
	}
	if s.Bundle != nil {
		if err := bundleHolds(s.Bundle, version); err != nil {
			return nil, err
		}
	}
	got, err := ReadRelease(ctx, repo, s.Site, version)
	if err != nil {
		return nil, err
	}
	for _, e := range got.State.Expiring(s.Now()) {
		s.note(e.String())
	}
	return got, nil
}

// Refreshed opens the repository and brings its metadata up to date. With last, one that is
// out of reach or expired is read as it was last verified, and that is told: it is enough to
// finish what was begun, and to go back.
func (s Source) Refreshed(ctx context.Context, last bool) (*release.Repository, error) {
	repo, err := s.Open()
	if err != nil {
		return nil, err
	}
	err = repo.Refresh(ctx)
	if err == nil {
		return repo, nil
	}
	if !last || problem.KindOf(err) == problem.Trust && !errors.Is(err, release.ErrExpired) {
		return nil, err
	}
	if lastErr := repo.LoadLast(); lastErr != nil {
		return nil, errors.Join(err, lastErr)
	}
	s.note(fmt.Sprintf("going on with the releases known since the last look: %v", err))
	return repo, nil
}

// Wanted is the version that the site file asks for; of a bundle, the one it was made for.
func (s Source) Wanted(ctx context.Context, repo *release.Repository) (string, error) {
	want := s.Site.Release
	if s.Bundle != nil && want.Version == "" {
		return s.Bundle.Contents.Release, nil
	}
	if want.Version != "" {
		return want.Version, nil
	}
	return repo.Channel(ctx, want.Channel)
}

// ReadRelease reads everything of one release that a plan of the site needs.
func ReadRelease(ctx context.Context, repo *release.Repository, s *site.Site, version string) (*Release, error) {
	got := &Release{Repository: repo, Compose: map[site.Role][]byte{}, State: repo.State()}
	var err error
	if got.Manifest, err = repo.Manifest(ctx, version); err != nil {
		return nil, err
	}
	for _, r := range plan.ComposeRoles(s, got.Manifest) {
		if got.Compose[r], err = repo.Compose(ctx, got.Manifest, string(r)); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// outward is this machine's way to the vendor's servers, by the site's proxy and
// authorities.
func outward(s *site.Site, t Trust) (*http.Client, error) {
	roots, err := t.Pool()
	if err != nil {
		return nil, err
	}
	return release.NewClient(roots, s.Network.Proxy)
}
