package probe

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// obstruct puts in the way what the tests of paths tell apart. The last is a port as
// Docker publishes one: translated before any listener is looked for.
func obstruct(t *testing.T, m machines) {
	firewall(t, m.src, map[string]string{
		"output": `tcp dport 8003 drop; tcp dport 8004 reject; tcp dport 8005 reject with tcp reset
			udp dport 501 drop`,
		"input": `tcp sport 8012 drop`,
	})
	firewall(t, m.way, map[string]string{"forward": `tcp dport 8006 drop; tcp dport 8007 reject
		tcp dport 8008 reject with icmp type admin-prohibited
		ip daddr 10.99.2.3 ip protocol 47 reject; ip daddr 10.99.2.4 ip protocol 47 drop`})
	firewall(t, m.dst, map[string]string{"input": `tcp dport 8009 drop; tcp dport 8010 reject
		tcp dport 8011 reject with tcp reset; udp dport 4500 drop`})
	run(t, "table ip published { chain prerouting { type nat hook prerouting priority -100\ntcp dport 8014 dnat to 10.99.2.4:8002\n}\n}\n",
		"ip", "netns", "exec", m.dst, "nft", "-f", "-")
}

// expected is an outcome as far as it matters; said is part of its cause or evidence.
type expected struct {
	spec    Spec
	verdict Verdict
	lost    Place
	said    string
}

func tcp(port uint16) Spec {
	return Spec{ID: fmt.Sprint(port), Ask: AskConnect, Protocol: "tcp", Host: "10.99.2.2", Port: port}
}

func to(host string, ask Ask, port uint16) Spec {
	return Spec{ID: fmt.Sprintf("%s %s %d", ask, host, port), Ask: ask, Host: host, Port: port}
}

// paths are the ways in which a flow ends, and what is to be said of each.
func paths() []expected {
	ours := tcp(8001)
	ours.Ask, ours.Token = AskOurs, "t0ken"
	foreign := tcp(8013)
	foreign.Ask, foreign.Token = AskOurs, "another"
	return []expected{
		{ours, Works, "", ""},
		{foreign, WrongContent, "", "something else than valtctl"},
		{tcp(8002), Refused, "", "RST from 10.99.2.2:8002"},
		{tcp(8003), Filtered, AtSource, "own firewall drops"},
		{tcp(8004), Filtered, AtSource, "own firewall or routes reject"},
		{tcp(8005), Filtered, AtSource, "own firewall resets"},
		{tcp(8006), Filtered, OnTheWay, "nothing came back"},
		{tcp(8007), Filtered, OnTheWay, "rejected on the way by 10.99.1.1"},
		{tcp(8008), Filtered, OnTheWay, "type 3, code 13"},
		{tcp(8009), Filtered, OnTheWay, "nothing came back"},
		{tcp(8010), Filtered, AtDestination, "destination's own firewall"},
		{tcp(8011), Refused, "", "RST from"},
		{tcp(8012), Filtered, AtSource, "the answer came"},
		{tcp(8014), Refused, "", "RST from 10.99.2.2:8014"},
		{to("10.99.1.77", AskConnect, 80), Filtered, "", "does not answer ARP"},
		{to("10.99.2.2", AskGRE, 0), Works, "", "does not speak GRE yet"},
		{to("10.99.2.2", AskESP, 0), Works, "", "does not speak ESP yet"},
		{to("10.99.2.3", AskGRE, 0), Filtered, OnTheWay, "rejected on the way by 10.99.1.1"},
		{to("10.99.2.4", AskGRE, 0), Unknown, "", "proves nothing"},
		{to("10.99.2.2", AskIKE, 500), Refused, "", "nothing listens"},
		{to("10.99.2.2", AskIKE, 501), Filtered, AtSource, "own firewall"},
		{to("10.99.2.2", AskIKE, 4500), Unknown, "", "proves nothing"},
		{to("10.99.2.2", AskNTP, 123), Refused, "", "nothing listens"},
		{to("10.99.2.2", AskDNS, 53), Refused, "", "nothing listens"},
	}
}

func specs(all []expected) []Spec {
	var s []Spec
	for _, e := range all {
		s = append(s, e.spec)
	}
	return s
}

func TestEveryEndOfAPathIsToldApart(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	obstruct(t, m)
	untilRight(t, 2*time.Second, func(deadline time.Duration) []string { return endsToldWrong(t, m, deadline) })
}

// untilRight tries with ever more patience: many paths end in silence, and on a busy machine
// also those that do not need longer.
func untilRight(t *testing.T, first time.Duration, try func(deadline time.Duration) (wrong []string)) {
	t.Helper()
	var wrong []string
	for _, deadline := range []time.Duration{first, 5 * first, 25 * first} {
		if wrong = try(deadline); len(wrong) == 0 {
			return
		}
	}
	t.Error(strings.Join(wrong, "\n"))
}

// endsToldWrong asks for every path and says which are told wrong.
func endsToldWrong(t *testing.T, m machines, deadline time.Duration) (wrong []string) {
	t.Helper()
	listener := start(t, m.dst, "listen", ListenRequest{Token: "t0ken", Ports: []uint16{8001, 8006, 8009, 8010, 8012, 8013, 8014}})
	for range 7 {
		var e ListenEvent
		if err := listener.lines.Decode(&e); err != nil || e.State == nil || !e.State.Ours || !e.State.Watched {
			t.Fatalf("%+v, %v: %s", e.State, err, listener.errs)
		}
	}
	got := outcomes(t, m.src, Request{Specs: specs(paths()), Deadline: deadline})
	for _, want := range paths() {
		o := got[want.spec.ID]
		said := o.Cause + "\n" + strings.Join(o.Evidence, "\n")
		if o.Verdict != want.verdict || o.Lost != want.lost || !strings.Contains(said, want.said) {
			wrong = append(wrong, fmt.Sprintf("%s: %s, lost %q, want %s, %q, %q\n%s", want.spec.ID, o.Verdict, o.Lost, want.verdict, want.lost, want.said, said))
		}
	}
	listener.stdin.Close() // as a controller that is gone
	arrived := map[uint16]int{}
	for {
		var e ListenEvent
		if listener.lines.Decode(&e) != nil {
			break
		}
		arrived[e.Arrival.Port]++
	}
	if err := listener.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, listener.errs)
	}
	for port, want := range map[uint16]int{8001: 1, 8006: 0, 8009: 1, 8010: 1, 8012: 1, 8013: 1, 8014: 1} {
		if arrived[port] != want {
			wrong = append(wrong, fmt.Sprintf("%d attempts arrived at %d, want %d", arrived[port], port, want))
		}
	}
	return wrong
}

func TestWithoutTheRightToWatchVerdictsStayAndPlacesAreNotClaimed(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	obstruct(t, m)
	all := []Spec{tcp(8002), tcp(8003), tcp(8006), tcp(8007), to("10.99.2.2", AskGRE, 0)}
	untilRight(t, time.Second, func(deadline time.Duration) (wrong []string) {
		got := outcomes(t, m.src, Request{Specs: all, Deadline: deadline}, "setpriv", "--bounding-set=-net_raw")
		for id, want := range map[string]Verdict{"8002": Refused, "8003": Filtered, "8006": Filtered, "8007": Refused} {
			o := got[id]
			if o.Verdict != want || o.Lost != "" || !strings.Contains(strings.Join(o.Evidence, "\n"), "watching packets") {
				wrong = append(wrong, fmt.Sprintf("%s: %+v", id, o))
			}
		}
		if o := got["gre 10.99.2.2 0"]; o.Verdict != Unknown || !strings.Contains(o.Cause, "CAP_NET_RAW") {
			wrong = append(wrong, fmt.Sprintf("%+v", o))
		}
		return wrong
	})
}
