package apt_test

import (
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/testneeds"
)

func TestVersionsAloneMakeAStatusThatAptWorksWith(t *testing.T) {
	testneeds.Of(t, testneeds.Program("apt-get", "apt"))
	ubuntu := offer(t, "libc6 2.39\nEssential: yes", "libbar 1", "libbar 2", "tool 1\nDepends: libbar (= 1)", "tool 2\nDepends: libbar (= 2)",
		"base 12\nPre-Depends: awk", "mawk 2\nProvides: awk", "mta 1\nDepends: exim | mail-agent").indexed(t, "ubuntu")
	valt := offer(t, "valt-host 6.4.1-1\nDepends: libc6", "valt-host 6.4.2-1\nDepends: libbar (>= 2)").indexed(t, "valt")
	for name, c := range map[string]struct {
		there map[string]string
		takes []string
	}{
		"all is there":                             {map[string]string{"valt-host:amd64": "6.4.2-1", "libbar:amd64": "2"}, nil},
		"an older one is there":                    {map[string]string{"valt-host:amd64": "6.4.1-1", "libc6:amd64": "2.39", "libbar:amd64": "2"}, []string{"valt/valt-host=6.4.2-1"}},
		"what depends on the old one comes along":  {map[string]string{"tool:amd64": "1", "libbar:amd64": "1"}, []string{"ubuntu/libbar=2", "ubuntu/tool=2", "valt/valt-host=6.4.2-1"}},
		"a version that is listed no more":         {map[string]string{"valt-host:amd64": "6.3.9-1", "libbar:amd64": "2"}, []string{"valt/valt-host=6.4.2-1"}},
		"such a one provides what is depended on":  {map[string]string{"base:amd64": "12", "mawk:amd64": "1", "libbar:amd64": "2"}, []string{"valt/valt-host=6.4.2-1"}},
		"something unknown meets a dependency":     {map[string]string{"mta:amd64": "1", "own-exim:amd64": "7", "libbar:amd64": "2"}, []string{"valt/valt-host=6.4.2-1"}},
		"packages of another architecture are too": {map[string]string{"libc6:i386": "2.39", "libc6:amd64": "2.39", "docs:all": "1", "libbar:amd64": "2"}, []string{"valt/valt-host=6.4.2-1"}},
	} {
		indexes := []*apt.Index{ubuntu, valt}
		status := apt.StatusOf(c.there, indexes)
		read, err := apt.ReadStatus(strings.NewReader(string(status)))
		if err != nil || len(read) != len(c.there) {
			t.Errorf("%s: %d packages of %d: %v\n%s", name, len(read), len(c.there), err, status)
		}
		for _, p := range read {
			if c.there[p.Name+":"+p.Arch] != p.Version || p.Abbrev != "ii" {
				t.Errorf("%s: the status has %+v", name, p)
			}
		}
		solved, err := apt.Solve(t.Context(), apt.Ask, indexes, status, []string{"valt-host=6.4.2-1"})
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, status)
			continue
		}
		if got := named(solved); !slices.Equal(got, c.takes) {
			t.Errorf("%s: it takes %v, want %v\n%s", name, got, c.takes, status)
		}
	}
}
