package release

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"ipivs.com/valtctl/repos/problem"
)

// HasDatabase says whether the release says which of its containers is the database.
func (m *Manifest) HasDatabase() bool { return m.Database.Image != "" }

// ChangesDatabase says whether the release changes the database when a site is updated to it.
func (m *Manifest) ChangesDatabase() bool { return m.Database.Migrate != (Migrate{}) }

func (m *Manifest) validateDatabase(f *findings) {
	d := m.Database
	if d == (Database{}) {
		return
	}
	_, known := m.Images[d.Image]
	f.need(known, "database.image", d.Image, "one of the release's images")
	f.need(matches(`[A-Za-z0-9_.-]{1,32}`, d.User), "database.user", d.User, "the name of the database's administrator, such as root")
	f.need(m.hasPassword(d.Password), "database.password", d.Password, "the name of a password of one of the roles")
	f.constraint("database.from", d.From)
	if !m.ChangesDatabase() {
		f.need(!d.Irreversible, "database.irreversible", true, "database.migrate, since nothing is changed without it")
		return
	}
	f.need(d.Migrate.Service == "" || matches(`[a-zA-Z0-9][a-zA-Z0-9._-]*`, d.Migrate.Service), "database.migrate.service", d.Migrate.Service, "a service of the Compose file")
	within, err := time.ParseDuration(d.Migrate.Within)
	f.need(err == nil && within > 0, "database.migrate.within", d.Migrate.Within, "a duration such as 30m")
}

// hasPassword says whether some role has a password of the name.
func (m *Manifest) hasPassword(name string) bool {
	for _, r := range m.Roles {
		if slices.ContainsFunc(r.Passwords, func(p Password) bool { return p.Name == name }) {
			return true
		}
	}
	return false
}

// TakesOver says why the release cannot take over the database of one that a site is updated from; nil: it can. An
// image of the database that changed without a word (Migrate) is refused: what the new one does to the data when it
// starts nothing undoes, and nobody would have made a backup.
func (m *Manifest) TakesOver(former *Manifest) error {
	refuse := func(fix string, format string, args ...any) error {
		return &problem.Error{Kind: problem.Check, Doing: "taking over the database of release " + former.Version + " by", Object: m.Version, Err: fmt.Errorf(format, args...), Fix: fix}
	}
	const vendor = "the release must be made again by its vendor: docs/releases.md, \"A release that changes the database\""
	switch {
	case m.Migrates && !m.ChangesDatabase():
		return refuse(vendor, "it says that it changes the database (migrates_database) and not how (database.migrate)")
	case former.HasDatabase() && !m.HasDatabase():
		return refuse(vendor, "it does not say any more which of its images is the database's (database.image)")
	case m.ChangesDatabase() && !former.HasDatabase():
		return refuse(vendor, "it changes the database, and release %s does not say which of its images is the database's, so no backup of it can be made", former.Version)
	case !former.HasDatabase() || !m.HasDatabase():
		return nil
	case m.ChangesDatabase():
		return allows(m.Database.From, former.Version, fmt.Sprintf("release %s migrates databases of", m.Version), "update to a release in between first")
	}
	if changed := changedImage(former.Images[former.Database.Image], m.Images[m.Database.Image]); changed != "" {
		return refuse(vendor, "the database's image is another one (%s), and the release does not say that it changes the database (database.migrate)", changed)
	}
	return nil
}

// changedImage is a platform on which two images differ, with both digests; empty: they are the same wherever both are.
func changedImage(was, is Image) string {
	for _, platform := range slices.Sorted(maps.Keys(is.Platforms)) {
		before, ok := was.Platforms[platform]
		if now := is.Platforms[platform]; ok && before.Config != now.Config {
			return fmt.Sprintf("%s: %s instead of %s", platform, now.Config, before.Config)
		}
	}
	return ""
}
