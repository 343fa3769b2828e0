package bundler

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/release"
)

// releases reads the repository as an installation would, with a record of every file.
func (p *packing) releases(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "valtctl-bundle-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	base := p.Site.Release.URL
	if base == "" {
		base = release.DefaultURL
	}
	base = strings.TrimSuffix(base, "/") + "/"
	heard := &recorder{through: p.HTTP, base: base, files: map[string][]byte{}}
	o := release.Options{URL: base, Dir: filepath.Join(dir, "tuf"), HTTP: &http.Client{Transport: heard}, Now: p.Now}
	if path := p.Site.Release.Root; path != "" {
		if o.Root, err = os.ReadFile(path); err != nil {
			return fmt.Errorf("reading release.root: %w", err)
		}
	}
	if p.repo, err = release.Open(o); err != nil {
		return err
	}
	if err := p.repo.Refresh(ctx); err != nil {
		return err
	}
	if err := p.choose(ctx); err != nil {
		return err
	}
	if err := heard.roots(ctx); err != nil {
		return err
	}
	for _, path := range heard.paths() {
		p.file("tuf/"+path, heard.files[path], bundle.MediaFile)
	}
	for role, st := range p.repo.State().Roles {
		p.Contents.Expires = append(p.Contents.Expires, bundle.Expiry{What: role + " of the release repository", At: st.Expires})
	}
	slices.SortFunc(p.Contents.Expires, func(a, b bundle.Expiry) int {
		if d := a.At.Compare(b.At); d != 0 {
			return d
		}
		return strings.Compare(a.What, b.What)
	})
	return nil
}

// choose reads the release, and those on the way to it from what hosts have.
func (p *packing) choose(ctx context.Context) error {
	version := p.Version
	var err error
	if version == "" {
		if version = p.Site.Release.Version; version == "" {
			if version, err = p.repo.Channel(ctx, p.Site.Release.Channel); err != nil {
				return err
			}
		}
	}
	newest, err := p.repo.Manifest(ctx, version)
	if err != nil {
		return err
	}
	p.Contents.Release, p.Contents.From = version, newest.From
	if p.manifests, err = p.way(ctx, newest); err != nil {
		return err
	}
	for _, m := range p.manifests {
		if m.Version != version {
			p.Contents.Also = append(p.Contents.Also, m.Version)
		}
		for _, role := range plan.ComposeRoles(p.Site, m) {
			text, err := p.repo.Compose(ctx, m, string(role))
			if err != nil {
				return err
			}
			p.compose[m.Version+"/"+string(role)] = text
		}
	}
	return nil
}

// way are the release and the intermediates that some host needs, the release last.
func (p *packing) way(ctx context.Context, newest *release.Manifest) ([]*release.Manifest, error) {
	all := map[string]*release.Manifest{}
	var manifests []*release.Manifest
	for _, v := range p.repo.Versions() {
		if release.Newest([]string{v, newest.Version}) != newest.Version {
			continue
		}
		m, err := p.repo.Manifest(ctx, v)
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, m)
	}
	for _, f := range p.Have {
		if f.Installed == nil {
			continue
		}
		way, err := release.Way(f.Installed.Release, manifests)
		if err != nil {
			return nil, err
		}
		for _, m := range way {
			all[m.Version] = m
		}
	}
	all[newest.Version] = newest
	var versions []string
	for v := range all {
		versions = append(versions, v)
	}
	release.SortVersions(versions)
	var way []*release.Manifest
	for _, v := range versions {
		way = append(way, all[v])
	}
	return way, nil
}
