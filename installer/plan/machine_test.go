package plan

import (
	"slices"
	"testing"

	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/repos/release"
)

// Ubuntu 26.04 keeps its clock with chrony, which would have to go for the other.
func TestTheTimeServiceOfTheHostStays(t *testing.T) {
	for name, c := range map[string]struct{ has, names, want string }{
		"the release's own, where there is none": {"", system.Timesyncd, system.Timesyncd},
		"chrony is there":                        {system.Chrony, system.Timesyncd, system.Chrony},
		"timesyncd is there":                     {system.Timesyncd, system.Chrony, system.Timesyncd},
		"the same":                               {system.Chrony, system.Chrony, system.Chrony},
	} {
		t.Run(name, func(t *testing.T) {
			p := build(t, input(t, sampleSite+"network: { ntp: [10.0.0.1] }\n", func(in *Input) {
				in.Manifest.Packages = append(in.Manifest.Packages, release.Package{Name: c.names})
				in.Hosts["app1"] = HostFacts{Codename: "noble", Arch: "amd64", TimeService: c.has}
			}))
			if got := stepOf[system.ClockParams](t, p, "app1", "clock").Service; got != c.want {
				t.Errorf("the clock is kept by %s", got)
			}
			wanted := stepOf[apt.PackagesParams](t, p, "app1", "packages/host").Packages
			if got := slices.ContainsFunc(wanted, func(w apt.PackageWanted) bool { return w.Name == c.names }); got != (c.names == c.want) {
				t.Errorf("installed are %v", wanted)
			}
		})
	}
}
