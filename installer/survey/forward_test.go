package survey

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/nft"
	"ipivs.com/valtctl/repos/testneeds"
)

// filtered runs the real nft in a network of its own, in which rules are loaded first.
type filtered struct{ rules string }

func (f filtered) Run(ctx context.Context, c step.Command) (step.Output, error) {
	if c.Argv[0] != nft.Program {
		return step.Output{}, nil
	}
	cmd := exec.CommandContext(ctx, "unshare", "-n", "sh", "-c", nft.Program+" -f - && "+strings.Join(c.Argv, " "))
	cmd.Stdin = strings.NewReader(strings.NewReplacer("{", "{\n", "}", "\n}\n").Replace(f.rules))
	out, err := cmd.Output()
	return step.Output{Stdout: out}, err
}

// What Docker 28 has in the filter's table, as iptables-nft shows it to nft.
const dockers = `table ip filter {
	chain DOCKER-USER { RULE return; }
	chain DOCKER { oifname "docker0" drop; }
	chain DOCKER-FORWARD { jump DOCKER; }
	chain FORWARD { type filter hook forward priority filter; policy drop; EARLY jump DOCKER-USER; jump DOCKER-FORWARD; LATE }
}
`

// engineRules are Docker's, with more of somebody's own.
func engineRules(user, early, late string) string {
	return strings.NewReplacer("RULE", user, "EARLY", early, "LATE", late).Replace(dockers)
}

func TestWhatDropsForwardedPacketsIsFound(t *testing.T) {
	testneeds.Of(t, testneeds.Root, testneeds.Program("nft", "nftables"), testneeds.Program("unshare", "util-linux"))
	const chain = "chain c { type filter hook forward priority 0; policy "
	for name, c := range map[string]struct {
		rules    string
		noEngine bool
		where    string // empty: nothing is in the way
		sure     bool
	}{
		"nothing":                    {},
		"the engine's own":           {rules: engineRules("", "", "")},
		"another table that accepts": {rules: "table inet a { " + chain + "accept; ct state invalid drop; counter; } }"},
		"another table whose policy is drop": {rules: engineRules("", "", "") + "table inet old { " + chain + "drop; ct state established,related accept } }",
			where: "table inet old, chain c"},
		"another table that drops all":           {rules: "table ip old { " + chain + "accept; counter drop } }", where: "table ip old, chain c", sure: true},
		"another table that accepts nothing":     {rules: "table ip old { " + chain + "drop; } }", where: "table ip old, chain c", sure: true},
		"another table that accepts all at last": {rules: "table ip old { " + chain + "drop; accept } }"},
		"another table that drops by a jump":     {rules: "table ip old { chain no { reject; }\n" + chain + "accept; ip saddr 172.17.0.0/16 jump no } }", where: "table ip old, chain c"},
		"a rule before the engine's":             {rules: engineRules("", "ip saddr 172.16.0.0/12 drop;", ""), where: "table ip filter, chain FORWARD"},
		"a rule behind the engine's":             {rules: engineRules("", "", "drop;")},
		"a rule in the chain for people":         {rules: engineRules("tcp dport 443 drop;", "", ""), where: "table ip filter, chain FORWARD"},
		"the engine's rules were flushed":        {rules: "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; } }", where: "table ip filter, chain FORWARD", sure: true},
		"no engine yet":                          {rules: "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; } }", noEngine: true},
		"the managed firewall":                   {rules: "table inet valtctl { " + chain + "drop; } }"},
		"what comes in":                          {rules: "table ip old { chain c { type filter hook input priority 0; policy drop; } }"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"/run/systemd/units/invocation:docker.service": ""}
			if c.noEngine {
				files = nil
			}
			reply := take(t, hostOf(t, filtered{c.rules}, files), Request{})
			if why := reply.Problems[AskForward]; why != "" {
				t.Fatal(why)
			}
			if c.where == "" {
				if len(reply.Forward) > 0 {
					t.Errorf("it finds %+v", reply.Forward)
				}
				return
			}
			if len(reply.Forward) != 1 || reply.Forward[0].Where != c.where || reply.Forward[0].Sure != c.sure || reply.Forward[0].Why == "" || reply.Forward[0].Undo == "" {
				t.Errorf("it finds %+v", reply.Forward)
			}
		})
	}
}

func TestRulesOfTheOlderInterfaceCountBesideTodays(t *testing.T) {
	const used = "/proc/net/ip_tables_names"
	saved := "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [12:720]\n:DOCKER - [0:0]\nCOMMIT\n"
	reply := take(t, hostOf(t, programs{"/usr/sbin/iptables-legacy-save": saved}, map[string]string{used: "nat\nfilter\n"}), Request{})
	if len(reply.Forward) != 1 || !reply.Forward[0].Sure || !strings.Contains(reply.Forward[0].Where, "iptables-legacy") {
		t.Errorf("%+v, %v", reply.Forward, reply.Problems)
	}
	kept := strings.Replace(saved, "COMMIT", "-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -j DOCKER\nCOMMIT", 1)
	if reply := take(t, hostOf(t, programs{"/usr/sbin/iptables-legacy-save": kept}, map[string]string{used: "filter\n"}), Request{}); len(reply.Forward) != 0 {
		t.Errorf("an engine that uses it: %+v", reply.Forward)
	}
	// In use, and not to be asked: that is no absence.
	if reply := take(t, hostOf(t, programs{"/usr/sbin/iptables-legacy-save": "fails: not found"}, map[string]string{used: "filter\n"}), Request{}); reply.Problems[AskForward] == "" {
		t.Error("rules that cannot be seen are none")
	}
	if reply := take(t, hostOf(t, programs{"/usr/sbin/iptables-legacy-save": saved}, nil), Request{}); len(reply.Forward) != 0 {
		t.Errorf("not in use: %+v", reply.Forward)
	}
}

// A rule's words as iptables-save writes them.
func TestSavedRules(t *testing.T) {
	for line, want := range map[string]filterRule{
		"-j DROP": {verdict: "drop", target: "DROP", any: true},
		"-s 172.17.0.0/16 -j REJECT --reject-with icmp-port-unreachable": {verdict: "drop", target: "REJECT"},
		"-m conntrack --ctstate INVALID -j DROP":                         {verdict: "drop", target: "DROP", benign: true},
		"-m comment --comment note -j ACCEPT":                            {verdict: "accept", target: "ACCEPT", any: true},
		"-j ufw-before-forward":                                          {verdict: "jump", target: "ufw-before-forward", any: true},
		"-j LOG --log-prefix x":                                          {target: "LOG", any: true},
	} {
		if got := savedRule(strings.Fields(line)); got != want {
			t.Errorf("%s: %+v", line, got)
		}
	}
}
