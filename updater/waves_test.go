package updater

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/site"
)

func TestTheSizeOfAWave(t *testing.T) {
	for name, c := range map[string]struct {
		wave    site.Wave
		of, are int
	}{
		"10% of 50":         {site.Wave{Percent: 10}, 50, 5},
		"25% of 3":          {site.Wave{Percent: 25}, 3, 1},
		"25% of 4":          {site.Wave{Percent: 25}, 4, 1},
		"25% of 5":          {site.Wave{Percent: 25}, 5, 2},
		"1% of 2000":        {site.Wave{Percent: 1}, 2000, 20},
		"1% of 1":           {site.Wave{Percent: 1}, 1, 1},
		"33% of 100":        {site.Wave{Percent: 33}, 100, 33},
		"100% of 7":         {site.Wave{Percent: 100}, 7, 7},
		"3 of 50":           {site.Wave{Hosts: 3}, 50, 3},
		"30 of 20":          {site.Wave{Hosts: 30}, 20, 20},
		"nothing said of 9": {site.Wave{}, 9, 1},
	} {
		if got := waveSize(c.wave, c.of); got != c.are {
			t.Errorf("%s are %d hosts, want %d", name, got, c.are)
		}
	}
}

// fleetOf makes hosts of a text: "app1+ media1 both1-" is an application host, a media
// host, and a host of both roles that does not serve.
func fleetOf(text string) []Host {
	var all []Host
	for _, name := range strings.Fields(text) {
		h := Host{Serves: !strings.HasSuffix(name, "-")}
		h.Name = strings.TrimSuffix(name, "-")
		if !strings.HasPrefix(h.Name, "app") {
			h.Roles = append(h.Roles, site.Media)
		}
		if !strings.HasPrefix(h.Name, "media") {
			h.Roles = append(h.Roles, site.App)
		}
		all = append(all, h)
	}
	return all
}

func TestWhoGoesWhen(t *testing.T) {
	const small = "app1 media1 media2 media3"
	for name, c := range map[string]struct {
		hosts, canary string
		wave          site.Wave
		mediaFirst    bool
		either        bool
		want          string
	}{
		"media first":                   {small, "", site.Wave{Percent: 50}, true, false, "media1 | media2 media3 | app1"},
		"the application first":         {small, "", site.Wave{Percent: 50}, false, false, "app1 | media1 media2 | media3"},
		"a named canary":                {small, "media3", site.Wave{Hosts: 1}, true, false, "media3 | media1 | media2 | app1"},
		"a canary that may not":         {small, "media3", site.Wave{Hosts: 2}, false, false, "app1 | media1 media2 | media3"},
		"a canary against a preference": {small, "media3", site.Wave{Hosts: 2}, false, true, "media3 | app1 | media1 media2"},
		"a canary of the second kind":   {small, "app1", site.Wave{Hosts: 3}, true, true, "app1 | media1 media2 media3"},
		"a canary nobody knows":         {small, "gone", site.Wave{Hosts: 3}, true, false, "media1 | media2 media3 | app1"},
		"both roles go with the app":    {"both1 media1 media2", "", site.Wave{Percent: 100}, true, false, "media1 | media2 | both1"},
		"both roles first":              {"media1 both1 media2", "", site.Wave{Percent: 100}, false, false, "both1 | media1 media2"},
		"one host":                      {"both1", "", site.Wave{Percent: 25}, true, false, "both1"},
		"only media, the other order":   {"media1 media2 media3", "media2", site.Wave{Percent: 25}, false, false, "media2 | media1 | media3"},
		"VALT Cloud":                    {"media1 media2", "", site.Wave{Percent: 25}, true, false, "media1 | media2"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Rollout{Hosts: fleetOf(c.hosts), Policy: Policy{Canary: c.canary, Wave: c.wave}, MediaFirst: c.mediaFirst, Either: c.either}
			var all []string
			for _, w := range r.waves() {
				var names []string
				for _, i := range w.hosts {
					names = append(names, r.Hosts[i].Name)
				}
				all = append(all, strings.Join(names, " "))
			}
			if diff := cmp.Diff(c.want, strings.Join(all, " | ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheWavesOfFiftyHosts(t *testing.T) {
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("media%d", i))
	}
	r := &Rollout{Hosts: fleetOf(strings.Join(names, " ")), Policy: Policy{Wave: site.Wave{Percent: 10}}, MediaFirst: true}
	sizes := map[int]int{}
	for _, w := range r.Waves() {
		sizes[w]++
	}
	want := map[int]int{1: 1, 11: 4}
	for w := 2; w <= 10; w++ {
		want[w] = 5
	}
	if diff := cmp.Diff(want, sizes); diff != "" {
		t.Error(diff)
	}
}

func TestTheFloor(t *testing.T) {
	for name, c := range map[string]struct {
		hosts, beside string
		want          int
	}{
		"one media host":        {"app1 media1", "", 0},
		"one that is both":      {"both1", "", 0},
		"two":                   {"media1 media2", "", 1},
		"one, and one left out": {"media1", "media2", 1},
	} {
		r := &Rollout{Hosts: fleetOf(c.hosts), Beside: fleetOf(c.beside), Policy: Policy{MinMediaServing: 1}}
		if got := r.floor(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
