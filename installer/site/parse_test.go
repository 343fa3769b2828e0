package site

import (
	"testing"
)

const minimal = `site: st-marys
ssl: true
clients: [10.0.0.0/16]
hosts:
  - {name: valt, address: 10.0.4.10, roles: [app, media]}
`

func TestDefaults(t *testing.T) {
	s, err := Parse("site.yaml", []byte(minimal), "")
	if err != nil {
		t.Fatal(err)
	}
	if s.Release.Channel != "stable" || s.Hosts[0].Wowza.License != Electronic || s.Hosts[0].SSH.Port != 22 ||
		s.Updates.Source != Online || s.Updates.MinMediaServing != 0 || s.Admins[0] != s.Clients[0] || s.Firewall != FirewallOff {
		t.Errorf("defaults: %+v", s)
	}
}
