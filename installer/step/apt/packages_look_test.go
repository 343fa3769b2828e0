package apt

import (
	"os"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step/steptest"
)

// stanza is one package of dpkg's status.
func stanza(name, status, more string) string {
	return "Package: " + name + "\nStatus: " + status + "\nMaintainer: x\nArchitecture: all\nVersion: 1\nDescription: x\n" + more + "\n"
}

func TestLookingAtPackagesTellsWhatIsWrongAndChangesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		status, lock string
		journal      bool
		want         func(PackageState) bool
	}{
		"well": {status: stanza("app", "install ok installed", ""),
			want: func(p PackageState) bool {
				return len(p.Damage) == 0 && p.Broken == "" && p.Lock == "" && len(p.Held) == 0
			}},
		"held": {status: stanza("app", "hold ok installed", ""),
			want: func(p PackageState) bool { return len(p.Held) == 1 && p.Held[0] == "app" }},
		"half configured": {status: stanza("app", "install ok half-configured", ""),
			want: func(p PackageState) bool { return len(p.Damage) == 1 && strings.Contains(p.Damage[0], "app 1") }},
		"interrupted": {status: stanza("app", "install ok installed", ""), journal: true,
			want: func(p PackageState) bool { return len(p.Damage) == 1 && strings.Contains(p.Damage[0], "interrupted") }},
		"lacks what it needs": {status: stanza("app", "install ok installed", "Depends: lib\n"),
			want: func(p PackageState) bool { return strings.Contains(p.Broken, "app : Depends: lib") }},
		"locked": {status: stanza("app", "install ok installed", ""), lock: "/var/lib/dpkg/lock-frontend",
			want: func(p PackageState) bool { return strings.Contains(p.Lock, "/var/lib/dpkg/lock-frontend") }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newAptRoot(t)
			steptest.Place(t, r.Machine, dpkgStatus, c.status)
			if c.journal {
				steptest.Place(t, r.Machine, dpkgUpdates+"/0000", "")
			}
			if c.lock != "" {
				defer r.holdLock(c.lock)()
			}
			found, err := LookAtPackages(t.Context(), r.Machine)
			if err != nil || !c.want(found) {
				t.Errorf("%+v, %v", found, err)
			}
			if left, err := os.ReadDir(r.Path("/var/cache/apt")); err != nil || len(left) != 1 {
				t.Errorf("apt's cache has %v, %v", left, err)
			}
		})
	}
}
