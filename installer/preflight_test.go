package installer

import (
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

func TestRefusals(t *testing.T) {
	s := &site.Site{ID: "st-marys"}
	m := &release.Manifest{Version: "6.4.2", Ubuntu: []string{"22.04", "24.04"},
		Images: map[string]release.Image{"web": {Platforms: map[string]release.ImagePlatform{"linux/amd64": {}}}}}
	ours := map[string]string{docker.LabelSite: "st-marys"}
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
		"Docker as a snap": {func(f *facts.Facts) { f.SnapDocker = "/snap/docker" }, []string{"Docker is installed there as a snap (/snap/docker)"}},
		"another site":     {func(f *facts.Facts) { f.Installed = &facts.Installed{Site: "other", Host: "app1", Release: "6.4.2"} }, []string{`it belongs to the site "other"`}},
		"another host":     {func(f *facts.Facts) { f.Installed = &facts.Installed{Site: "st-marys", Host: "app2", Release: "6.4.2"} }, []string{`the site's host "app2"`}},
		"another release":  {func(f *facts.Facts) { f.Installed = &facts.Installed{Site: "st-marys", Host: "app1", Release: "6.4.1"} }, []string{"it has release 6.4.1"}},
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
		if got := newest(all); got != want {
			t.Errorf("of %q got %q", all, got)
		}
	}
}
