package plan

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step/database"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/release"
)

// migrating makes the sample release one that changes its database, by a service of the database's own image.
func migrating(in *Input) {
	in.Update = true
	db := sampleImage("docker.ipivs.com/valt/db")
	one := db.Platforms["linux/amd64"]
	one.Config = "sha256:" + strings.Repeat("9", 64)
	db.Platforms["linux/amd64"] = one
	in.Manifest.Images["db"] = db
	in.Manifest.Database = release.Database{Image: "db", User: "root", Password: "db", Migrate: release.Migrate{Service: "migrate", Within: "5m"}}
	in.Compose[site.App] = []byte(strings.Replace(appCompose, "networks:\n  valt: {}\n", `  a-cache:
    image: docker.ipivs.com/valt/web
  migrate:
    image: docker.ipivs.com/valt/db
    restart: "no"
    networks: [valt]
networks:
  valt: {}
`, 1))
}

// aboutDatabase are the steps of the application's host from the database's stop on.
func aboutDatabase(t *testing.T, in Input) []string {
	t.Helper()
	hp, _ := build(t, in).Host("app1")
	var ids []string
	for _, s := range hp.Steps {
		if strings.HasPrefix(s.ID, "database-") || s.Kind == docker.KindContainer || s.Kind == docker.KindHealth {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// Everything is stopped, backed up and proved first; the migration meets the release's database and nothing else of it.
func TestAMigrationComesBeforeAllElseOfTheRelease(t *testing.T) {
	want := []string{"database-still", "container/db", "database-migrate", "container/a-cache", "container/web", "health/app"}
	if got := aboutDatabase(t, input(t, sampleSite, migrating)); !slices.Equal(got, want) {
		t.Errorf("an update: %q", got)
	}
	without := []string{"container/a-cache", "container/db", "container/web", "health/app"}
	install := input(t, sampleSite, migrating)
	install.Update = false
	if got := aboutDatabase(t, install); !slices.Equal(got, without) {
		t.Errorf("an installation: %q", got)
	}
	back := input(t, sampleSite, migrating)
	back.Downgrade = true
	if got := aboutDatabase(t, back); !slices.Equal(got, without) {
		t.Errorf("a way back: %q", got)
	}
}

// Where nobody says that the database is changed, its container is to keep its image.
func TestADatabasesImageStaysWhereNothingIsSaid(t *testing.T) {
	for said, in := range map[bool]Input{true: input(t, sampleSite, migrating), false: input(t, sampleSite, migrating, func(in *Input) {
		in.Manifest.Database.Migrate = release.Migrate{}
		in.Compose[site.App] = []byte(appCompose)
	})} {
		hp, _ := build(t, in).Host("app1")
		for _, s := range hp.Steps {
			var c docker.ContainerParams
			if s.Kind == docker.KindContainer && json.Unmarshal(s.Params, &c) == nil && c.SameImage != (!said && s.ID == "container/db") {
				t.Errorf("%s with the change said %t: same image %t", s.ID, said, c.SameImage)
			}
		}
	}
}

func TestBackupsGoWhereTheSiteSays(t *testing.T) {
	in := input(t, sampleSite+"backup: { dir: /srv/backup, keep: 9 }\n", migrating)
	app, _ := in.Site.App()
	p, ok := Database(in.Site, in.Manifest, app)
	if !ok || p.Dir != "/srv/backup" || p.Keep != 9 || p.PasswordFile != "/etc/valt/secrets/db" || p.User != "root" || p.Role != "app" {
		t.Errorf("%+v, %t", p, ok)
	}
	in.Site.Backup = nil
	if p, _ := Database(in.Site, in.Manifest, app); p.Dir != database.DefaultDir || p.Keep != database.DefaultKeep {
		t.Errorf("%+v", p)
	}
	for _, h := range in.Site.Media() {
		if _, ok := Database(in.Site, in.Manifest, h); ok {
			t.Errorf("%s keeps a database", h.Name)
		}
	}
}

func TestADatabaseIsOneService(t *testing.T) {
	for name, edit := range map[string]func(*Input){
		"no service uses its image": func(in *Input) {
			in.Compose[site.App] = []byte(strings.Replace(string(in.Compose[site.App]), "  db:\n    image: docker.ipivs.com/valt/db", "  db:\n    image: docker.ipivs.com/valt/web", 1))
		},
		"two services use it": func(in *Input) {
			in.Compose[site.App] = []byte(strings.Replace(string(in.Compose[site.App]), "  a-cache:\n    image: docker.ipivs.com/valt/web", "  a-cache:\n    image: docker.ipivs.com/valt/db", 1))
		},
		"no service migrates": func(in *Input) { in.Manifest.Database.Migrate.Service = "other" },
	} {
		if _, err := Build(t.Context(), input(t, sampleSite, migrating, edit)); err == nil || !strings.Contains(err.Error(), "database") && !strings.Contains(err.Error(), "other") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
