package site

import (
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/problem"
)

const withReplaced = `site: st-marys
ssl: false
clients: [10.0.0.0/16]
ssh: { user: valt }
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media3, address: 10.0.4.31, roles: [media] }
replaced:
  - { name: media1, address: 10.0.4.21, by: media3, since: 2026-11-30, recordings: /srv/valt, ssh: { port: 2222 } }
`

func TestAReplacedServerIsNamed(t *testing.T) {
	s, err := Parse("site.yaml", []byte(withReplaced), "")
	if err != nil {
		t.Fatal(err)
	}
	old, ok := s.WasReplaced("media1")
	if !ok || old.SSH.Port != 2222 || old.SSH.User != "valt" || old.Keeps() != "media1 (10.0.4.21) was replaced by media3 on 2026-11-30 and keeps its recordings in /srv/valt" {
		t.Errorf("%+v: %s", old, old.Keeps())
	}
	if _, ok := s.Host("media1"); ok {
		t.Error("it counts among the hosts")
	}
}

func TestMistakesAboutReplacedServers(t *testing.T) {
	tests := map[string]struct{ old, new, want string }{
		"it is a host still":      {"name: media1, address: 10.0.4.21", "name: media3, address: 10.0.4.21", "media3 is also the name of hosts[1]"},
		"it has a host's address": {"10.0.4.21", "10.0.4.10", "10.0.4.10 is also the address of hosts[0]"},
		"nobody took its place":   {"by: media3", "by: media9", "media9 is no other server of the site"},
		"itself took its place":   {"by: media3", "by: media1", "media1 is no other server of the site"},
		"no successor":            {"by: media3, ", "", "by: and the name of the host"},
		"no day":                  {"2026-11-30", "yesterday", `"yesterday" is no day`},
		"a role":                  {"by: media3", "roles: [media]", "roles"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("site.yaml", []byte(strings.Replace(withReplaced, tt.old, tt.new, 1)), "")
			if err == nil || !strings.Contains(err.Error(), tt.want) && !strings.Contains(fixes(err), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// fixes is what to write instead.
func fixes(err error) string {
	var all []string
	for _, p := range problem.All(err) {
		all = append(all, p.Fix)
	}
	return strings.Join(all, "\n")
}
