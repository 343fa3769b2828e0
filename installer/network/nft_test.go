package network

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testneeds"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("reading what was agreed (go test -update writes it): %v", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: agreed (-) and got (+):\n%s", path, diff)
	}
}

// loads says what nft itself thinks of a ruleset. It is run in a network namespace of its
// own, so that it neither needs this machine's tables nor could touch them.
func loads(t *testing.T, args []string, rules []byte) {
	t.Helper()
	testneeds.Of(t, testneeds.Namespaces, testneeds.Program("nft", "nftables"))
	command := exec.Command("unshare", append([]string{"--map-root-user", "--net", "--"}, args...)...)
	command.Stdin = strings.NewReader(string(rules))
	if said, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s\n%s", args, err, said, rules)
	}
}

func sampleSites(t *testing.T) map[string]*site.Site {
	t.Helper()
	sites := map[string]*site.Site{}
	for _, pattern := range []string{"../../testdata/network/*.yaml", "../../testdata/sites/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("finding the sample sites: %v, %d found", err, len(files))
		}
		for _, file := range files {
			s, err := site.Load(file, "/root")
			if err != nil {
				t.Fatal(err)
			}
			sites[filepath.Base(filepath.Dir(file))+"-"+strings.TrimSuffix(filepath.Base(file), ".yaml")] = s
		}
	}
	return sites
}

func TestNftItselfLoadsTheRulesetOfEveryHost(t *testing.T) {
	for name, s := range sampleSites(t) {
		for _, h := range s.Hosts {
			t.Run(name+"/"+h.Name, func(t *testing.T) {
				rules, err := Ruleset(s, h.Name)
				if needsNames(s, h) {
					if err == nil {
						t.Error("a rule without an address was written")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				loads(t, []string{"nft", "-c", "-f", "-"}, rules)
			})
		}
	}
}

// needsNames says whether somebody who must be let in by the host has only a name.
func needsNames(s *site.Site, h site.Host) bool {
	for _, c := range h.Cameras {
		if _, ok := c.Address.IP(); !ok {
			return true
		}
	}
	for _, f := range Flows(s) {
		if f.Touches(h.Name) && f.Destination.Name == h.Name && strings.HasSuffix(f.Source.Address, ".example") {
			return true
		}
	}
	return false
}

func TestARulesetLoadsAgainOverItself(t *testing.T) {
	rules, err := Ruleset(parse(t, everything), "media1")
	if err != nil {
		t.Fatal(err)
	}
	loads(t, []string{"sh", "-ec", `cat >"$0"; nft -f "$0"; nft -f "$0"; nft list table inet valtctl | grep -c "dport 8087" | grep -x 1`,
		filepath.Join(t.TempDir(), "rules.nft")}, rules)
}

func TestRulesetsOfTheSampleSites(t *testing.T) {
	sites := sampleSites(t)
	for _, one := range []struct{ site, host string }{
		{"sites-full", "media1"}, {"sites-single", "valt"}, {"network-multi", "app1"}, {"network-cloud-beam", "media1"},
	} {
		t.Run(one.site, func(t *testing.T) {
			rules, err := Ruleset(sites[one.site], one.host)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, fmt.Sprintf("../../testdata/papers/%s-%s.nft", one.site, one.host), rules)
		})
	}
}

// Exactly the flows towards the host are rules, each once.
func TestEveryInboundFlowIsOneRuleAndNoOther(t *testing.T) {
	s := parse(t, everything)
	for _, h := range s.Hosts {
		rules, err := Ruleset(s, h.Name)
		if err != nil {
			t.Fatal(err)
		}
		var accepts []string
		for line := range strings.Lines(string(rules)) {
			if rule, id, found := strings.Cut(strings.TrimSpace(line), " accept # "); found {
				accepts = append(accepts, rule+" "+id)
			}
		}
		var want []string
		for _, f := range Flows(s) {
			if f.Destination.Name == h.Name {
				want = append(want, fmt.Sprintf("ip saddr %s tcp dport %d %s", f.Source.Address, f.Port, f.ID))
			}
		}
		if diff := cmp.Diff(want, accepts); diff != "" {
			t.Errorf("%s: flows (-) and rules (+):\n%s", h.Name, diff)
		}
	}
}

func TestAHostThatStandsInForAServiceLetsItsUsersIn(t *testing.T) {
	rules, err := Ruleset(parse(t, change("dns: [10.0.0.53]", "dns: [10.0.4.10]")), "app1")
	if err != nil || !strings.Contains(string(rules), "ip saddr 10.0.4.21 udp dport 53 accept") {
		t.Errorf("no rule for its DNS: %v\n%s", err, rules)
	}
}

func TestWhereARuleNeedsAnAddressANameIsRefusedWithItsPlace(t *testing.T) {
	tests := []struct{ name, site, host, want string }{
		{"a server's", change("10.0.4.21", "media1.example.com"), "app1",
			"writing the firewall of app1 from site.yaml:9: hosts[1]: packets from media1.example.com must be let in, and a rule needs its address, not its name"},
		{"a camera's", change("[10.0.9.11]", "[10.0.9.11, door.example.com]"), "media1",
			"writing the firewall of media1 from site.yaml:9: hosts[1].cameras[1]: packets from door.example.com must be let in, and a rule needs its address, not its name"},
		{"a host that is not there", everything, "media9", "writing the firewall of media9: the site has no such host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Ruleset(parse(t, tt.site), tt.host)
			if err == nil || err.Error() != tt.want || problem.KindOf(err) != problem.Input {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	// The host's own name is no obstacle: its rules name its sources.
	if _, err := Ruleset(parse(t, change("10.0.4.21", "media1.example.com")), "media1"); err != nil {
		t.Error(err)
	}
}
