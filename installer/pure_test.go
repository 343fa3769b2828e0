package installer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

func TestRefusals(t *testing.T) {
	s := &site.Site{ID: "st-marys"}
	m := &release.Manifest{Version: "6.4.2", Ubuntu: []string{"22.04", "24.04"},
		Images: map[string]release.Image{"web": {Platforms: map[string]release.ImagePlatform{"linux/amd64": {}}}}}
	ours := map[string]string{step.LabelSite: "st-marys"}
	for name, c := range map[string]struct {
		edit func(*facts.Facts)
		want []string // parts of the problems, in order
	}{
		"bare": {func(*facts.Facts) {}, nil},
		"its own containers": {func(f *facts.Facts) {
			f.Engine = &facts.EngineFacts{Containers: []facts.Container{{Name: "valt-web", Labels: ours}}}
		}, nil},
		"installed":            {func(f *facts.Facts) { f.Installed = &facts.Installed{Site: "st-marys", Host: "app1", Release: "6.4.2"} }, nil},
		"another Ubuntu":       {func(f *facts.Facts) { f.OS.VersionID = "20.04" }, []string{"it runs ubuntu 20.04, which release 6.4.2 is not made for"}},
		"no Ubuntu":            {func(f *facts.Facts) { f.OS.ID = "debian" }, []string{"it runs debian 24.04"}},
		"another architecture": {func(f *facts.Facts) { f.Arch = "arm64" }, []string{"no image web for arm64"}},
		"foreign containers": {func(f *facts.Facts) {
			f.Engine = &facts.EngineFacts{Containers: []facts.Container{{Name: "z"}, {Name: "a"}, {Name: "valt-web", Labels: ours}}}
		}, []string{"containers run there that are not this site's: a, z"}},
		"another site":    {func(f *facts.Facts) { f.Installed = &facts.Installed{Site: "other", Host: "app1", Release: "6.4.2"} }, []string{`it belongs to the site "other"`}},
		"another host":    {func(f *facts.Facts) { f.Installed = &facts.Installed{Site: "st-marys", Host: "app2", Release: "6.4.2"} }, []string{`the site's host "app2"`}},
		"another release": {func(f *facts.Facts) { f.Installed = &facts.Installed{Site: "st-marys", Host: "app1", Release: "6.4.1"} }, []string{"it has release 6.4.1"}},
		"several": {func(f *facts.Facts) {
			f.OS.VersionID, f.Arch, f.Installed = "20.04", "arm64", &facts.Installed{Site: "other"}
		},
			[]string{"20.04", "arm64", "other"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &facts.Facts{OS: facts.OS{ID: "ubuntu", VersionID: "24.04"}, Arch: "amd64"}
			c.edit(f)
			all := problem.All(refuse(s, m, "app1", f, refuseOtherRelease))
			if len(all) != len(c.want) {
				t.Fatalf("got %v, want %q", all, c.want)
			}
			for i, p := range all {
				if p.Kind != problem.Check || p.Object != "app1" || p.Fix == "" || !strings.Contains(p.Err.Error(), c.want[i]) {
					t.Errorf("got %+v, want %q", p, c.want[i])
				}
			}
		})
	}
}

func TestOneRelease(t *testing.T) {
	for want, all := range map[string][]string{"": {"", ""}, "6.4.2": {"", "6.4.2"}, "6.4.10": {"6.4.9", "6.4.10", ""}} {
		if got := oneRelease(all); got != want {
			t.Errorf("of %q got %q", all, got)
		}
	}
}

func TestEveryWrongFileOfASiteIsToldWithItsPlaceAndWithoutItsContent(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"c.pem": "SECRET-certificate", "c.key": "SECRET-key", "registry": "SECRET-registry\n", "ca.pem": "SECRET-ca",
		"l1": "SECRET-licence\nof two lines", "site.yaml": `site: st-marys
name: valt.example
ssl: true
tls: { certificate: c.pem, key_file: c.key }
release: { version: 6.4.2 }
registry: { username: st-marys, password_file: registry }
clients: [10.0.0.0/16]
network: { trust: [ca.pem] }
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], recordings: /srv/valt, wowza: { key_file: l1 } }
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := site.Load(filepath.Join(dir, "site.yaml"), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = readMaterial(s, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	all := problem.All(err)
	want := []string{"site.yaml:4", "site.yaml:11", "site.yaml:8"}
	if len(all) != len(want) {
		t.Fatalf("got %v", err)
	}
	for i, p := range all {
		if p.Kind != problem.Input || p.Fix == "" || !strings.Contains(p.Object, want[i]) {
			t.Errorf("got %+v, want it at %s", p, want[i])
		}
		if strings.Contains(p.Error()+p.Fix, "SECRET") {
			t.Errorf("a file's content is told: %v", p)
		}
	}
}

func TestAFileIsReadUpToItsCap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big")
	for size, ok := range map[int]bool{maxMaterial: true, maxMaterial + 1: false} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if content, err := readCapped(path); (err == nil) != ok || ok && len(content) != size {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
