package release

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"ipivs.com/valtctl/repos/release/allowed"
)

// place is one path of the manifest and what it is for.
type place struct {
	field string
	use   allowed.Use
	path  string
	what  string // in words; two roles may name the same, and nothing else may
}

// places are all of the paths that steps of the release write to.
func (m *Manifest) places() []place {
	all := []place{
		{"paths.certificate", allowed.SiteFile, m.Paths.Certificate, "the site's certificate"},
		{"paths.key", allowed.SiteFile, m.Paths.Key, "the site's key"},
		{"paths.licence", allowed.SiteFile, m.Paths.Licence, "the licence"},
	}
	for _, name := range slices.Sorted(maps.Keys(m.Roles)) {
		at, r := "roles."+name, m.Roles[name]
		all = append(all, place{"paths.compose", allowed.SiteFile, path.Join(m.Paths.Compose, name+".yaml"), "the Compose file of " + name})
		for i, d := range r.Directories {
			all = append(all, place{fmt.Sprintf("%s.directories[%d].path", at, i), allowed.Directory, d.Path, "a folder"})
		}
		for i, p := range r.Passwords {
			all = append(all, place{fmt.Sprintf("%s.passwords[%d].path", at, i), allowed.Password, p.Path, "the password " + p.Name})
		}
		for i, c := range r.Files {
			all = append(all, place{fmt.Sprintf("%s.files[%d].path", at, i), allowed.File, c.Path, "a file of the release"})
		}
	}
	return all
}

// validatePlaces refuses two uses of one path: a template in the place of the site's key, or of a
// password, would take its place.
func (m *Manifest) validatePlaces(f *findings) {
	first := map[string]place{}
	for _, p := range m.places() {
		was, again := first[p.path]
		if !again {
			first[p.path] = p
			continue
		}
		if was.what != p.what {
			f.allow(p.field, &allowed.Refusal{Why: fmt.Sprintf("%s is %s already (%s)", p.path, was.what, was.field), Instead: "write a path of its own"})
		}
	}
}

// Allowed judges the paths of the release again as one host has them: with what the owner of its
// site has there. Each problem names the field.
func (m *Manifest) Allowed(site allowed.Site) error {
	var f findings
	for _, p := range m.places() {
		f.allow(p.field, site.Path(p.use, p.path))
	}
	return errors.Join(f...)
}
