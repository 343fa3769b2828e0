package network

import (
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/site"
)

// A firewall is asked for what another address needs, and told what the former one does not: nothing
// of the servers that stay.
func TestTheDifferenceOfTwoSites(t *testing.T) {
	const was = `site: x
ssl: true
clients: [10.0.0.0/16]
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], cameras: [10.0.9.11] }
  - { name: media2, address: 10.0.4.22, roles: [media], cameras: [10.0.9.12] }
`
	parse := func(text string) *site.Site {
		s, err := site.Parse("x", []byte(text), "")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before, after := parse(was), parse(strings.NewReplacer("media1", "media3", "10.0.4.21", "10.0.4.31").Replace(was))
	c := Difference(before, after)
	if len(c.New) == 0 || len(c.New) != len(c.Away) {
		t.Errorf("%d rows are new and %d go, for one server in place of one", len(c.New), len(c.Away))
	}
	for what, items := range map[string][]Item{"10.0.4.31": c.New, "10.0.4.21": c.Away} {
		for _, i := range items {
			if i.Source.Address != what && i.Destination.Address != what {
				t.Errorf("%s is not about %s", i.ID, what)
			}
		}
	}
	if same := Difference(before, before); len(same.New)+len(same.Away) != 0 {
		t.Errorf("a site differs from itself: %+v", same)
	}
}
