package updater

import (
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/repos/release"
)

// The newest that any host has seen counts, and what is signed anew every few days does not.
func TestStatusTellsOfMetadataThatEndsSoon(t *testing.T) {
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	seen := func(version int64, days int) release.State {
		at := func(days int) time.Time { return now.AddDate(0, 0, days) }
		return release.State{Roles: map[string]release.RoleState{
			"root": {Version: 1, Expires: at(400)}, "releases": {Version: version, Expires: at(days)}, "timestamp": {Version: version, Expires: at(-3)}, "snapshot": {Version: version, Expires: at(1)},
		}}
	}
	host := func(name string, s release.State) status.Host {
		return status.Host{Host: name, Seen: s, Facts: facts.Facts{Installed: &facts.Installed{Release: "6.4.2"}, Engine: &facts.EngineFacts{}}}
	}
	for _, c := range []struct {
		name  string
		hosts []status.Host
		want  string // empty: nothing to do
	}{
		{"far away", []status.Host{host("app1", seen(7, 200))}, ""},
		{"soon", []status.Host{host("app1", seen(7, 89))}, "expires on 2027-02-19"},
		{"over", []status.Host{host("app1", seen(7, -1))}, "expires on 2026-11-21"},
		{"another has seen a newer", []status.Host{host("app1", seen(7, 5)), host("media1", seen(8, 365))}, ""},
		{"the newer ends sooner", []status.Host{host("app1", seen(8, 5)), host("media1", seen(7, 365))}, "expires on 2026-11-27"},
		{"nothing seen", []status.Host{host("app1", release.State{})}, ""},
	} {
		st, err := StatusOf("st-marys", &status.Site{Hosts: c.hosts}, now)
		if err != nil {
			t.Fatal(err)
		}
		needs := st.Needs()
		switch {
		case c.want == "" && len(needs) == 0:
		case c.want == "" || len(needs) != 1 || !strings.Contains(needs[0].Error(), c.want) || !strings.Contains(needs[0].Fix, "valtctl check expiry"):
			t.Errorf("%s: %v, wanted %q", c.name, needs, c.want)
		}
	}
}

func TestAStatusThatCannotReadTheRolloutSaysSo(t *testing.T) {
	st, err := StatusOf("st-marys", &status.Site{Lease: &status.Lease{Rollout: []byte(`{"kind":1}`)}}, time.Time{})
	if err == nil || st == nil || !strings.Contains(err.Error(), "what the rollout is about") {
		t.Errorf("%+v, %v", st, err)
	}
}
