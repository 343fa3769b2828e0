package firewall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/nft"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testneeds"
)

// otherTable stands for Docker's rules, which nobody but Docker may touch.
const otherTable = "table ip nat { chain docker { type nat hook prerouting priority -100; policy accept; }; }"

// rulesFor are rules that let in SSH from some addresses; anonymous sets among them.
func rulesFor(addresses string) string {
	return "# test\ntable inet valtctl\ndelete table inet valtctl\n\ntable inet valtctl {\n\tchain inward {\n" +
		"\t\ttype filter hook prerouting priority -150; policy accept;\n\t\tiifname \"lo\" accept\n" +
		"\t\tct state established,related accept\n\t\tmeta l4proto { icmp, ipv6-icmp, igmp } accept\n\t\tmeta iiftype ipgre accept\n" +
		"\t\tip saddr { " + addresses + " } tcp dport 22 accept\n\t\tcounter drop\n\t}\n}\n"
}

// namespace runs the real nft in a network namespace of the test's own, and imitates
// systemd: it remembers the armed timer, which the test may let go off.
type namespace struct {
	pid string

	mu    sync.Mutex
	armed []string
	said  []string // to systemctl
}

func newNamespace(t *testing.T) (*step.Machine, *namespace) {
	t.Helper()
	testneeds.Of(t, testneeds.Root, testneeds.Program("nft", "nftables"), testneeds.Program("unshare", "util-linux"))
	holder := exec.Command("unshare", "--net", "sleep", "infinity")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	n := &namespace{pid: strconv.Itoa(holder.Process.Pid)}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for { // until unshare(1) has done what it is for
		if its, err := os.Readlink("/proc/" + n.pid + "/ns/net"); err == nil && its != own {
			break
		}
	}
	h := steptest.RootMachine(t, nil)
	h.Run = n
	n.nft(t, otherTable)
	return h, n
}

func (n *namespace) Run(ctx context.Context, c step.Command) (step.Output, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch c.Argv[0] {
	case nft.Program:
		c.Argv = append([]string{"nsenter", "--net=/proc/" + n.pid + "/ns/net", "--"}, c.Argv...)
		return step.Exec{}.Run(ctx, c)
	case "systemd-run":
		n.armed = c.Argv[slices.Index(c.Argv, "--")+1:]
	case "systemctl":
		n.said = append(n.said, strings.Join(c.Argv[1:], " "))
		switch c.Argv[len(c.Argv)-1] {
		case revertUnit + ".timer":
			if n.armed == nil {
				return step.Output{Code: 5}, errors.New("exit status 5")
			}
			if c.Argv[1] == "stop" {
				n.armed = nil
			}
		case "firewalld.service":
			return step.Output{}, nil
		}
	}
	return step.Output{}, nil
}

// goOff is what systemd does when the time is over.
func (n *namespace) goOff(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	argv := n.armed
	n.armed = nil
	n.mu.Unlock()
	if argv == nil {
		t.Error("no way back is armed")
		return
	}
	if _, err := n.Run(t.Context(), step.Command{Argv: argv}); err != nil {
		t.Error(err)
	}
}

func (n *namespace) nft(t *testing.T, script string) {
	t.Helper()
	if _, err := n.Run(t.Context(), step.Command{Argv: []string{nft.Program, "-f", "-"}, Stdin: []byte(script)}); err != nil {
		t.Fatal(err)
	}
}

// inForce asserts what the kernel lets in by SSH; "" is anything, without a table of ours.
func (n *namespace) inForce(t *testing.T, addresses string) {
	t.Helper()
	out, err := n.Run(t.Context(), step.Command{Argv: []string{nft.Program, "list", "ruleset"}})
	if err != nil {
		t.Fatal(err)
	}
	text := string(out.Stdout)
	if !strings.Contains(text, "table ip nat") {
		t.Errorf("another's table is gone:\n%s", text)
	}
	if addresses == "" && strings.Contains(text, "valtctl") ||
		addresses != "" && !strings.Contains(text, "ip saddr { "+addresses+" } tcp dport 22 accept") {
		t.Errorf("in force is, instead of %q:\n%s", addresses, text)
	}
}

// answering has the host's question answered.
func answering(h *step.Machine, say func(nonce string)) {
	h.Progress = func(p step.Progress) {
		if p.Confirm != "" {
			go say(p.Confirm)
		}
	}
}

func confirming(t *testing.T, h *step.Machine) {
	answering(h, func(nonce string) {
		if err := step.HandAnswer(h, step.Answer{Nonce: nonce}); err != nil {
			t.Error(err)
		}
	})
}

func switchedOn(t *testing.T, addresses string) (*step.Machine, *namespace) {
	t.Helper()
	h, n := newNamespace(t)
	confirming(t, h)
	steptest.Settles(t, steptest.MakeStep(t, Kind(), Params{Rules: rulesFor(addresses)}), h)
	n.inForce(t, addresses)
	return h, n
}

func TestConfirmedFirewallStays(t *testing.T) {
	h, n := switchedOn(t, "10.0.0.1, 10.0.0.2")
	if n.armed != nil {
		t.Error("the way back is still armed")
	}
	if _, err := os.Stat(h.Path(trialFolder)); err == nil {
		t.Error("the trial's folder is left")
	}
	enabled, err := os.Readlink(h.Path("/etc/systemd/system/sysinit.target.wants/valtctl-firewall.service"))
	if err != nil || !strings.Contains(steptest.Content(t, h, enabled), "nft -f "+firewallRules) || steptest.Content(t, h, firewallRules) != rulesFor("10.0.0.1, 10.0.0.2") {
		t.Errorf("a boot would not find it: %v", err)
	}
	if !slices.Contains(n.said, "start valtctl-firewall.service") {
		t.Errorf("systemd was told %q", n.said)
	}
}

func TestUnconfirmedFirewallIsPutBack(t *testing.T) {
	ways := map[string]struct {
		answer func(t *testing.T, h *step.Machine, n *namespace, nonce string)
		says   string
		within int // seconds; a busy machine may take long to answer
	}{
		"nobody answers": {func(*testing.T, *step.Machine, *namespace, string) {}, "no new connection confirmed them within 1s", 1},
		"another's nonce": {func(t *testing.T, h *step.Machine, _ *namespace, _ string) {
			if err := step.HandAnswer(h, step.Answer{Nonce: "guessed"}); err == nil {
				t.Error("it was taken")
			}
		}, "within 1s", 1},
		"no connection": {func(t *testing.T, h *step.Machine, _ *namespace, nonce string) {
			if err := step.HandAnswer(h, step.Answer{Nonce: nonce, Refused: "app1: i/o timeout"}); err != nil {
				t.Error(err)
			}
		}, "app1: i/o timeout", 600},
		"too late": {func(t *testing.T, h *step.Machine, n *namespace, nonce string) {
			n.goOff(t)
			if err := step.HandAnswer(h, step.Answer{Nonce: nonce}); err != nil {
				t.Error(err)
			}
		}, "too late", 600},
	}
	for name, way := range ways {
		for _, before := range []string{"", "10.0.0.1, 10.0.0.2"} {
			t.Run(fmt.Sprintf("%s, before %q", name, before), func(t *testing.T) {
				t.Parallel()
				h, n := newNamespace(t)
				if before != "" {
					h, n = switchedOn(t, before)
				}
				answering(h, func(nonce string) { way.answer(t, h, n, nonce) })
				err := steptest.MakeStep(t, Kind(), Params{Rules: rulesFor("10.9.9.9, 10.9.9.10"), ConfirmWithin: way.within}).Apply(t.Context(), h)
				if err == nil || !strings.Contains(err.Error(), way.says) || !strings.Contains(problem.All(err)[0].Fix, "admins") {
					t.Errorf("got %v", err)
				}
				n.inForce(t, before)
				if now, err := step.ReadIfThere(h.Path(firewallRules)); err != nil || before == "" && now != nil || before != "" && string(now) != rulesFor(before) {
					t.Errorf("a boot would find %q, %v", now, err)
				}
				if n.armed != nil {
					t.Error("the way back is still armed")
				}
			})
		}
	}
}

// TestKilledTrial: whoever is killed in the middle leaves a host that helps itself.
func TestKilledTrial(t *testing.T) {
	killed := func(t *testing.T) (*step.Machine, *namespace) {
		h, n := switchedOn(t, "10.0.0.1, 10.0.0.2")
		trial := firewallTrial{h: h, within: defaultConfirm}
		for _, did := range []error{trial.prepare(t.Context(), rulesFor("10.9.9.9, 10.9.9.10")), trial.arm(t.Context()), nft.Load(t.Context(), h, trialNew)} {
			if did != nil {
				t.Fatal(did)
			}
		}
		n.inForce(t, "10.9.9.9, 10.9.9.10")
		return h, n
	}
	t.Run("by itself", func(t *testing.T) {
		h, n := killed(t)
		n.goOff(t)
		n.inForce(t, "10.0.0.1, 10.0.0.2")
		found, err := steptest.MakeStep(t, Kind(), Params{Rules: rulesFor("10.0.0.1, 10.0.0.2")}).Inspect(t.Context(), h)
		if err != nil || found.Change {
			t.Errorf("%+v, %v", found, err)
		}
	})
	t.Run("and tried again", func(t *testing.T) {
		h, n := killed(t)
		asked := false
		answering(h, func(nonce string) {
			asked = true
			if err := step.HandAnswer(h, step.Answer{Nonce: nonce}); err != nil {
				t.Error(err)
			}
		})
		steptest.Settles(t, steptest.MakeStep(t, Kind(), Params{Rules: rulesFor("10.9.9.9, 10.9.9.10")}), h)
		n.inForce(t, "10.9.9.9, 10.9.9.10")
		if !asked {
			t.Error("rules that nobody confirmed were kept")
		}
	})
	t.Run("and switched off", func(t *testing.T) {
		h, n := killed(t)
		steptest.Settles(t, steptest.MakeStep(t, Kind(), Params{}), h)
		n.inForce(t, "")
	})
}

func TestStoppedTrialPutsBack(t *testing.T) {
	h, n := newNamespace(t)
	ctx, stop := context.WithCancel(t.Context())
	answering(h, func(string) { stop() })
	err := steptest.MakeStep(t, Kind(), Params{Rules: rulesFor("10.9.9.9, 10.9.9.10")}).Apply(ctx, h)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	n.inForce(t, "")
}

func TestFirewallSwitchedOff(t *testing.T) {
	h, n := switchedOn(t, "10.0.0.1, 10.0.0.2")
	h.Progress = nil // it needs no confirmation
	steptest.Settles(t, steptest.MakeStep(t, Kind(), Params{}), h)
	n.inForce(t, "")
	for _, path := range []string{"/etc/valtctl", firewallListing, "/etc/systemd/system/valtctl-firewall.service"} {
		if _, err := os.Lstat(h.Path(path)); err == nil {
			t.Errorf("%s is left", path)
		}
	}
}

func TestChangedFirewallIsSeenAndMended(t *testing.T) {
	for name, script := range map[string]string{
		"a rule more":  "add rule inet valtctl inward tcp dport 23 accept",
		"no rules":     "flush chain inet valtctl inward",
		"no table":     "delete table inet valtctl",
		"all is gone":  "flush ruleset\n" + otherTable,
		"another rule": "insert rule inet valtctl inward accept",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, n := switchedOn(t, "10.0.0.1, 10.0.0.2")
			n.nft(t, script)
			steptest.Settles(t, steptest.MakeStep(t, Kind(), Params{Rules: rulesFor("10.0.0.1, 10.0.0.2")}), h)
			n.inForce(t, "10.0.0.1, 10.0.0.2")
		})
	}
}

func TestRulesThatNftRefusesAreNotTried(t *testing.T) {
	h, n := newNamespace(t)
	rules := strings.Replace(rulesFor("10.0.0.1, 10.0.0.2"), "counter drop", "nonsense", 1)
	err := steptest.MakeStep(t, Kind(), Params{Rules: rules}).Apply(t.Context(), h)
	if err == nil || !strings.Contains(err.Error(), "nonsense") || n.armed != nil {
		t.Errorf("got %v", err)
	}
	n.inForce(t, "")
}

func TestOtherFirewallsAreRefusedByName(t *testing.T) {
	cases := map[string]struct{ path, content, name string }{
		"ufw":       {"/etc/ufw/ufw.conf", "# conf\nENABLED=yes\nLOGLEVEL=low\n", "ufw"},
		"ufw, off":  {"/etc/ufw/ufw.conf", "ENABLED=no\n", ""},
		"firewalld": {"/usr/sbin/firewalld", "", "firewalld"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h, n := newNamespace(t)
			steptest.Place(t, h, c.path, c.content)
			s := steptest.MakeStep(t, Kind(), Params{Rules: rulesFor("10.0.0.1, 10.0.0.2")})
			_, err := s.Inspect(t.Context(), h)
			if c.name == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.name) || s.Apply(t.Context(), h) == nil {
				t.Errorf("got %v", err)
			}
			n.inForce(t, "")
			// Whose firewall is not managed may have any.
			if found, err := steptest.MakeStep(t, Kind(), Params{}).Inspect(t.Context(), h); err != nil || found.Change {
				t.Errorf("%+v, %v", found, err)
			}
		})
	}
}

func TestFirewallParametersAreJudged(t *testing.T) {
	for _, params := range []string{`{"rules":"flush ruleset"}`, `{"confirm_within":-1}`, `{"confirm_within":9999}`, `{"unknown":1}`} {
		if _, err := Kind().New([]byte(params)); err == nil {
			t.Errorf("%s was taken", params)
		}
	}
}
