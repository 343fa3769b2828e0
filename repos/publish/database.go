package publish

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// takesOver refuses a release that could not take over the database of one that sites may come from: with another
// image of the database and no word of it, or past a release in between that changes the database.
func (r *Repository) takesOver(m *release.Manifest) error {
	var formers []*release.Manifest
	for _, version := range r.Versions() {
		if version == m.Version || release.Newest([]string{version, m.Version}) != m.Version {
			continue
		}
		former, err := r.manifest(version)
		if err != nil {
			return err
		}
		formers = append(formers, former)
	}
	var errs []error
	for i, former := range formers {
		if m.AllowsFrom(former.Version) != nil {
			continue
		}
		errs = append(errs, m.TakesOver(former), pastAChange(m, former, formers[i+1:]))
	}
	return errors.Join(errs...)
}

// pastAChange refuses a way that leaves out a release that changes the database, oldest first between its ends.
func pastAChange(m, former *release.Manifest, between []*release.Manifest) error {
	if m.ChangesDatabase() {
		return nil
	}
	for _, b := range between {
		if b.ChangesDatabase() {
			return &problem.Error{Kind: problem.Input, Doing: "publishing release", Object: m.Version,
				Err: fmt.Errorf("sites may come to it from %s, past release %s, which changes the database", former.Version, b.Version),
				Fix: fmt.Sprintf("let it be reached from there on: \"from\": \">= %s\", or say how it changes the database itself (database.migrate)", b.Version)}
		}
	}
	return nil
}

// manifest reads a published release's.
func (r *Repository) manifest(version string) (*release.Manifest, error) {
	name := "releases/" + version + "/manifest.json"
	listed, ok := r.targets[roleReleases].Signed.Targets[name]
	if !ok {
		return nil, fmt.Errorf("looking for release %s: it is not published", version)
	}
	folder, file := filepath.Split(filepath.FromSlash(name))
	text, err := os.ReadFile(filepath.Join(r.opts.Dir, "targets", folder, hex.EncodeToString(listed.Hashes["sha256"])+"."+file))
	if err != nil {
		return nil, fmt.Errorf("reading release %s: %w", version, err)
	}
	m, err := release.ParseManifest(text)
	if err != nil {
		return nil, fmt.Errorf("reading release %s: %w", version, err)
	}
	return m, nil
}
