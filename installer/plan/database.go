package plan

import (
	"errors"
	"fmt"
	"slices"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/database"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Database says how the database of a site's host is reached and backed up; false: the release says of none, or the
// host keeps none.
func Database(s *site.Site, m *release.Manifest, h site.Host) (database.Params, bool) {
	for _, r := range roles() {
		if path := passwordFile(m, r.name); h.Has(r.name) && path != "" {
			return databaseParams(s, m, h, r.name, path), true
		}
	}
	return database.Params{}, false
}

// passwordFile is where a role keeps the password of the database's administrator; empty: it is another role's.
func passwordFile(m *release.Manifest, r site.Role) string {
	if !m.HasDatabase() {
		return ""
	}
	for _, p := range m.Roles[string(r)].Passwords {
		if p.Name == m.Database.Password {
			return p.Path
		}
	}
	return ""
}

func databaseParams(s *site.Site, m *release.Manifest, h site.Host, r site.Role, passwordFile string) database.Params {
	store := database.Store{Dir: database.DefaultDir, Keep: database.DefaultKeep}
	if b := s.Backup; b != nil {
		store.Keep, store.Recipient = b.Keep, b.Recipient
		if b.Dir != "" {
			store.Dir = b.Dir
		}
	}
	return database.Params{Store: store, Site: s.ID, Host: h.Name, Role: string(r),
		Login: database.Login{User: m.Database.User, PasswordFile: passwordFile}}
}

// isDatabase says whether a container of a role is the database. The migration may use its image too.
func (b *builder) isDatabase(c docker.ContainerParams) bool {
	d := b.Manifest.Database
	platform := b.Manifest.Images[d.Image].Platforms["linux/"+b.facts.Arch]
	return b.Manifest.HasDatabase() && c.Service != d.Migrate.Service && c.Image == digests(platform)
}

// ordered are the containers of a role in the order to start them, without the migration's. A database that is
// migrated goes first: nothing else of the release may meet it as it was.
func (b *builder) ordered(r role) []docker.ContainerParams {
	all := slices.DeleteFunc(slices.Clone(b.stacks[r.name].Containers), func(c docker.ContainerParams) bool {
		return b.isMigration(c)
	})
	if b.migrates() {
		slices.SortStableFunc(all, func(x, y docker.ContainerParams) int {
			return rankOf(b.isDatabase(x)) - rankOf(b.isDatabase(y))
		})
	}
	return all
}

func rankOf(database bool) int {
	if database {
		return 0
	}
	return 1
}

func (b *builder) isMigration(c docker.ContainerParams) bool {
	name := b.Manifest.Database.Migrate.Service
	return name != "" && c.Service == name && passwordFile(b.Manifest, site.Role(c.Role)) != ""
}

// migrates says whether this plan leads sites over a change of the database. An installation and a way back do not.
func (b *builder) migrates() bool { return b.Update && !b.Downgrade && b.Manifest.ChangesDatabase() }

// still plans, before the containers of the role that keeps the database, that everything which writes to it is
// stopped, backed up and proved.
func (b *builder) still(r role) {
	path := passwordFile(b.Manifest, r.name)
	if path == "" {
		return
	}
	var found []string
	for _, c := range b.ordered(r) {
		if b.isDatabase(c) {
			found = append(found, c.Service)
		}
	}
	if len(found) != 1 {
		b.fail(&problem.Error{Kind: problem.Input, Doing: "planning release", Object: b.Manifest.Version,
			Err: fmt.Errorf("%d services of its Compose file for %s use the database's image %s, not one: %q", len(found), r.name, b.Manifest.Database.Image, found),
			Fix: "have one service use it, beside the migration's (database.image)"})
		return
	}
	if !b.migrates() {
		return
	}
	params := databaseParams(b.Site, b.Manifest, b.host, r.name, path)
	params.Container = Project + "-" + found[0]
	spec := applied("database-still", "the database stopped, its backup, and the proof of that")
	spec.Disrupts = step.Container
	b.add(spec, database.StillKind(), database.StillParams{Params: params, To: b.Manifest.Version})
}

// migrate plans, after the database's own container, the release's migration.
func (b *builder) migrate(r role) {
	d := b.Manifest.Database
	if !b.migrates() || d.Migrate.Service == "" {
		return
	}
	for _, c := range b.stacks[r.name].Containers {
		if b.isMigration(c) {
			b.add(applied("database-migrate", "the migration of the database to "+b.Manifest.Version), database.MigrateKind(),
				database.MigrateParams{To: b.Manifest.Version, Run: &database.OneTime{ContainerParams: c}, Within: d.Migrate.Within})
			return
		}
	}
	b.fail(&problem.Error{Kind: problem.Input, Doing: "planning release", Object: b.Manifest.Version,
		Err: errors.New("its Compose file has no service " + d.Migrate.Service + ", which is to migrate the database"), Fix: "name it under database.migrate.service"})
}
