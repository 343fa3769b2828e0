package fault

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestPacketRules(t *testing.T) {
	for _, c := range []struct {
		name string
		p    Packets
		want []string
		no   []string
	}{
		{"a cut takes everything", Packets{Verdict: Drop}, []string{"    drop\n"}, []string{"reject", "dport"}},
		{"a port of one protocol", Packets{Verdict: Drop, Port: 443, Proto: "tcp"}, []string{"    tcp dport 443 drop\n"}, nil},
		{"a port of both", Packets{Verdict: Drop, Port: 53}, []string{"    meta l4proto { tcp, udp } th dport 53 drop\n"}, nil},
		{"to a network", Packets{Verdict: Drop, To: netip.MustParsePrefix("10.0.0.0/8")}, []string{"    ip daddr 10.0.0.0/8 drop\n"}, []string{"saddr"}},
		{"from an address", Packets{Verdict: Drop, From: netip.MustParsePrefix("10.0.0.9/32")}, []string{"    ip saddr 10.0.0.9/32 drop\n"}, []string{"daddr"}},
		{"a refusal resets TCP", Packets{Verdict: Reject, Port: 80, Proto: "tcp"}, []string{"tcp dport 80 meta l4proto tcp reject with tcp reset\n"}, []string{" drop\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.p.rules()
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range append(c.want, "    iif lo accept\n", "    oif lo accept\n", "delete table inet "+table+"\n") {
				if !strings.Contains(got, want) {
					t.Errorf("lacks %q:\n%s", want, got)
				}
			}
			for _, no := range c.no {
				if strings.Contains(got, no) {
					t.Errorf("has %q:\n%s", no, got)
				}
			}
		})
	}
}

func TestPacketRulesRefuseWhatNftWould(t *testing.T) {
	for name, p := range map[string]Packets{
		"no verdict":        {},
		"unknown protocol":  {Verdict: Drop, Proto: "tcp; flush ruleset"},
		"port out of range": {Verdict: Drop, Port: 70000},
	} {
		if _, err := p.rules(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFullDisksAreFoundByTheirSource(t *testing.T) {
	const mounts = "overlay / overlay rw 0 0\nvaltlab-full /srv/valt tmpfs rw 0 0\ntmpfs /run tmpfs rw 0 0\nvaltlab-full /var/cache tmpfs rw 0 0\n"
	if got := fullDisks(mounts, ""); !slices.Equal(got, []string{"/srv/valt", "/var/cache"}) {
		t.Errorf("got %v", got)
	}
	if got := fullDisks(mounts, "/var/cache"); !slices.Equal(got, []string{"/var/cache"}) {
		t.Errorf("got %v", got)
	}
	if got := fullDisks("", ""); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestRulesAreInTheirDirectionAndInTheFaultsOwnTable(t *testing.T) {
	got := Rules{Input: []string{"tcp dport 444 drop"}, Output: []string{"ip daddr 10.0.0.1 reject"}}.script()
	in, out, found := strings.Cut(got, "chain output")
	if !found || !strings.Contains(in, "    tcp dport 444 drop\n") || strings.Contains(in, "reject") || !strings.Contains(out, "    ip daddr 10.0.0.1 reject\n") {
		t.Errorf("got\n%s", got)
	}
	if !strings.HasPrefix(got, "table inet "+table+"\ndelete table inet "+table+"\n") {
		t.Errorf("fault clear would not end it, or it would not load twice:\n%s", got)
	}
}
