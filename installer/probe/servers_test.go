package probe

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// udpServer answers datagrams as reply says; nil is silence.
func udpServer(t *testing.T, reply func([]byte) []byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := reply(buf[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// zone is what an imitated DNS server knows; "*" is its answer to any name.
type zone map[string][]string

func (z zone) reply(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) == 0 {
		return nil
	}
	asked := m.Questions[0]
	addrs, known := z[strings.TrimSuffix(asked.Name.String(), ".")]
	if !known {
		addrs, known = z["*"]
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, s := range addrs {
		a := netip.MustParseAddr(s)
		head := dnsmessage.ResourceHeader{Name: asked.Name, Type: asked.Type, Class: asked.Class, TTL: 60}
		if a.Is4() && asked.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: a.As4()}})
		}
		if a.Is6() && asked.Type == dnsmessage.TypeAAAA {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}

// resolverAt is a machine's resolver that asks one server.
func resolverAt(server netip.AddrPort) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp4", server.String())
	}}
}

// askOne asks one question of this machine.
func askOne(t *testing.T, env Env, s Spec, deadline time.Duration) Outcome {
	t.Helper()
	if env.Now == nil {
		env.Now = time.Now
	}
	var got []Outcome
	err := Run(t.Context(), env, Request{Specs: []Spec{s}, Deadline: deadline}, func(o Outcome) error {
		got = append(got, o)
		return nil
	})
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	return got[0]
}

// inSilence asks one question that nobody answers, until the outcome is right or it is clear
// that no patience makes it so.
func inSilence(t *testing.T, env Env, s Spec, right func(Outcome) bool) {
	t.Helper()
	var o Outcome
	for _, patience := range patiences {
		if o = askOne(t, env, s, patience); right(o) {
			return
		}
	}
	t.Errorf("%+v", o)
}

func TestANameThatLeadsNowhereSaysWhy(t *testing.T) {
	known := zone{"six.example": {"2001:db8::1"}, "blocked.example": {"0.0.0.0"}, "self.example": {"127.0.0.1"}, "self6.example": {"::1"}}
	env := Env{Resolver: resolverAt(udpServer(t, known.reply))}
	for name, want := range map[string]string{
		"missing.example": "missing.example does not exist",
		"six.example":     "only IPv6 addresses (2001:db8::1)",
		"self6.example":   "only IPv6 addresses (::1)",
		"blocked.example": "points to nowhere (0.0.0.0)",
		"self.example":    "points to this machine itself (127.0.0.1)",
	} {
		o := askOne(t, env, Spec{ID: name, Ask: AskConnect, Host: name, Port: 9}, longEnough)
		if o.Verdict != NoName || !strings.Contains(o.Cause, want) {
			t.Errorf("%s: %s, %q", name, o.Verdict, o.Cause)
		}
	}
	env.Resolver = resolverAt(udpServer(t, func([]byte) []byte { return nil }))
	inSilence(t, env, Spec{Ask: AskConnect, Host: "any.example", Port: 9, Proxy: "http://proxy.example:3128"}, func(o Outcome) bool {
		return o.Verdict == NoName && strings.Contains(o.Cause, "the proxy proxy.example:3128: no DNS server answered")
	})
}

func TestANamesOtherAddressIsTriedAndTheDeadOneTold(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	var got Outcome
	q := &question{env: Env{Now: time.Now}, out: &got, watch: newWatch(nil)}
	defer q.watch.close()
	conn, r := q.dialAny(t.Context(), []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")}, port)
	if conn == nil {
		t.Fatalf("%+v", r)
	}
	conn.Close()
	if r.verdict != Works || got.Address != listener.Addr().String() || !strings.Contains(strings.Join(r.evidence, " "), "127.0.0.2") {
		t.Errorf("%+v at %s", r, got.Address)
	}
}

func TestDNSServersThatLieAreFoundOut(t *testing.T) {
	for name, c := range map[string]struct {
		zone    zone
		verdict Verdict
		said    string
	}{
		"honest":   {zone{"a.example": {"192.0.2.2", "192.0.2.1"}}, Works, ""},
		"hijacked": {zone{"a.example": {"192.0.2.1"}, "*": {"198.51.100.9"}}, WrongContent, "invents answers: a name that cannot exist is 198.51.100.9"},
		"blocking": {zone{"a.example": {"127.0.0.1"}}, NoName, "a.example points to this machine itself (127.0.0.1)"},
		"ignorant": {zone{}, NoName, "a.example does not exist"},
		"only six": {zone{"a.example": {"2001:db8::1"}}, NoName, "a.example has no IPv4 address"},
	} {
		at := udpServer(t, c.zone.reply)
		o := askOne(t, Env{}, Spec{Ask: AskDNS, Protocol: "udp", Host: "127.0.0.1", Port: at.Port(), Names: []string{"a.example"}}, longEnough)
		if o.Verdict != c.verdict || !strings.Contains(o.Cause, c.said) {
			t.Errorf("%s: %s, %q", name, o.Verdict, o.Cause)
		}
		if name == "honest" && !slices.Equal(o.Answers["a.example"], []string{"192.0.2.1", "192.0.2.2"}) {
			t.Errorf("%v", o.Answers)
		}
		if addrs, told := o.Answers["a.example"]; name == "ignorant" && (!told || addrs == nil || len(addrs) > 0) {
			t.Errorf("%#v", o.Answers)
		}
	}
	silent := udpServer(t, func([]byte) []byte { return nil })
	inSilence(t, Env{}, Spec{Ask: AskDNS, Host: "127.0.0.1", Port: silent.Port(), Names: []string{"a.example"}}, func(o Outcome) bool {
		return o.Verdict == Filtered && strings.Contains(o.Cause, silent.String())
	})
}

func TestALongDNSAnswerIsFetchedOverTCP(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			n, _ := conn.Read(buf)
			answer := zone{"a.example": {"192.0.2.1"}}.reply(buf[2:n])
			_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			conn.Close()
		}
	}()
	port := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	short, err := net.ListenPacket("udp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer short.Close()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := short.ReadFrom(buf)
			if err != nil {
				return
			}
			cut := zone{"*": nil}.reply(buf[:n])
			cut[2] |= 0x02 // truncated (RFC 1035, section 4.1.1)
			_, _ = short.WriteTo(cut, from)
		}
	}()
	for _, protocol := range []string{"udp", "tcp"} {
		o := askOne(t, Env{}, Spec{Ask: AskDNS, Protocol: protocol, Host: "127.0.0.1", Port: port, Names: []string{"a.example"}}, longEnough)
		if o.Verdict != Works || !slices.Equal(o.Answers["a.example"], []string{"192.0.2.1"}) {
			t.Errorf("%s: %+v", protocol, o)
		}
	}
}

func TestAMachinesResolversAreThoseBehindTheStub(t *testing.T) {
	got := parseResolvConf("# by systemd\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\nsearch example\nnameserver 10.0.0.54\n")
	want := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.53:53"), netip.MustParseAddrPort("10.0.0.54:53")}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestTheTimeAndHowFarItIsAheadAreTold(t *testing.T) {
	here := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	const ahead = 24 * time.Hour
	serve := func(stratum byte) netip.AddrPort {
		return udpServer(t, func(q []byte) []byte {
			a := make([]byte, 48) // RFC 5905, section 7.3
			a[0], a[1], a[3] = 4<<3|4, stratum, 0xec
			copy(a[24:], q[40:48])
			for _, at := range []int{16, 32, 40} {
				binary.BigEndian.PutUint32(a[at:], uint32(here.Add(ahead).Unix()+2208988800))
			}
			return a
		})
	}
	env := Env{Now: func() time.Time { return here }}
	o := askOne(t, env, Spec{Ask: AskNTP, Host: "127.0.0.1", Port: serve(2).Port()}, longEnough)
	if o.Verdict != Works || o.Clock == nil || o.Offset.Round(time.Second) != ahead {
		t.Errorf("%+v", o)
	}
	o = askOne(t, env, Spec{Ask: AskNTP, Host: "127.0.0.1", Port: serve(0).Port()}, longEnough)
	if o.Verdict != WrongContent || !strings.Contains(o.Cause, "its time is not to be used") {
		t.Errorf("%+v", o)
	}
	silent := udpServer(t, func([]byte) []byte { return nil })
	inSilence(t, env, Spec{Ask: AskNTP, Host: "127.0.0.1", Port: silent.Port()}, func(o Outcome) bool { return o.Verdict == Filtered })
}

func TestAnyAnswerUnderOurSPIProvesIKE(t *testing.T) {
	refuse := func(q []byte) []byte {
		a := append([]byte{}, q[:16]...)
		a = append(a, ikeNotify, ikeVersion, ikeExchangeInit, 0x20, 0, 0, 0, 0, 0, 0, 0, 36)
		return append(a, 0, 0, 0, 8, 0, 0, 0, 14)
	}
	strange := func(q []byte) []byte {
		a := refuse(q)
		a[0] ^= 0xff
		return a
	}
	o := askOne(t, Env{}, Spec{Ask: AskIKE, Host: "127.0.0.1", Port: udpServer(t, refuse).Port()}, longEnough)
	if o.Verdict != Works || !strings.Contains(strings.Join(o.Evidence, " "), "NO_PROPOSAL_CHOSEN") {
		t.Errorf("%+v", o)
	}
	inSilence(t, Env{}, Spec{Ask: AskIKE, Host: "127.0.0.1", Port: udpServer(t, strange).Port()}, func(o Outcome) bool {
		return o.Verdict == Unknown && strings.Contains(o.Cause, "proves nothing")
	})
}

func TestAnIKERequestIsWellFormed(t *testing.T) {
	spi := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	p, err := ikeInit(spi)
	if err != nil {
		t.Fatal(err)
	}
	if int(binary.BigEndian.Uint32(p[24:])) != len(p) {
		t.Errorf("the header says %d of %d bytes", binary.BigEndian.Uint32(p[24:]), len(p))
	}
	var types []byte
	var sizes []int
	next, rest := p[16], p[ikeHeader:]
	for next != 0 {
		size := int(binary.BigEndian.Uint16(rest[2:]))
		types, sizes = append(types, next), append(sizes, size)
		next, rest = rest[0], rest[size:]
	}
	// RFC 5903, section 7: the key of group 19 has 64 bytes.
	if !slices.Equal(types, []byte{ikeSA, ikeKE, ikeNonce}) || !slices.Equal(sizes, []int{48, 72, 36}) || len(rest) != 0 {
		t.Errorf("payloads %v of %v bytes, %d left", types, sizes, len(rest))
	}
}
