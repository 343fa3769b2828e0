package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// askRaw asks whether packets of an IP protocol without ports arrive. Only ICMP can tell:
// a destination that does not speak the protocol yet says so.
func (q *question) askRaw(ctx context.Context) {
	all, ok := q.lookUp(ctx, q.spec.Host)
	if !ok {
		return
	}
	protocol, packet := uint8(protocolGRE), grePacket()
	if q.spec.Ask == AskESP {
		protocol, packet = protocolESP, espPacket()
	}
	to := netip.AddrPortFrom(all[0], 0)
	q.out.Address = all[0].String()
	q.watch.expect(all[0])
	var d net.Dialer
	conn, err := d.DialContext(ctx, fmt.Sprintf("ip4:%d", protocol), all[0].String())
	if err != nil {
		q.out.Verdict = Unknown
		q.out.Cause = fmt.Sprintf("packets of protocol %d cannot be sent from here: %v (it needs CAP_NET_RAW)", protocol, err)
		return
	}
	defer conn.Close()
	defer boundBy(ctx, conn)()
	q.out.Local = conn.LocalAddr().String()
	err = q.env.repeat(ctx, conn, packet, func([]byte) bool { return true })
	q.ruled(ruleRaw(q.attempt(protocol, 0, to, err), strings.ToUpper(string(q.spec.Ask))))
}

// ruleRaw never takes silence for an answer: a host that speaks the protocol keeps silent.
func ruleRaw(a attempt, name string) ruling {
	r := judge(a)
	u := a.trace.Rejected
	switch {
	case a.err == nil:
		r.evidence = append(r.evidence, fmt.Sprintf("%s came back from %s", name, a.to.Addr()))
	case u != nil && u.By == a.to.Addr() && u.Code == codeProtocolUnreachable:
		return ruling{verdict: Works, cause: "reached: it answered that it does not speak " + name + " yet", evidence: []string{u.String()}}
	case u == nil && errors.Is(a.err, errNoProtocol):
		r.verdict, r.cause = Unknown, "something answered that it does not speak "+name+", and it is not known who"
	case r.silence:
		r.verdict, r.lost = Unknown, ""
		r.cause = "no answer, which proves nothing: a host that speaks " + name + " keeps silent too"
	}
	return r
}

// grePacket is a header that announces IPv4 (RFC 2784, section 2), and no packet in it:
// only as much as ICMP must quote before Linux tells the socket of it (RFC 792).
func grePacket() []byte { return []byte{0, 0, 0x08, 0, 0, 0, 0, 0} }

// espPacket is for a security association that does not exist (RFC 4303, section 2; SPIs
// up to 255 are reserved).
func espPacket() []byte {
	p := make([]byte, 4+4+16)
	rand.Read(p)
	p[0] |= 1 // not reserved
	copy(p[4:], []byte{0, 0, 0, 1})
	return p
}
