package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// IP protocol numbers (IANA, "Assigned Internet Protocol Numbers").
const (
	protocolICMP = 1
	protocolTCP  = 6
	protocolUDP  = 17
	protocolGRE  = 47
	protocolESP  = 50
)

// flow is what tells one connection's packets from another's. Ports are 0 where the
// protocol has none.
type flow struct {
	Protocol uint8
	From, To netip.AddrPort
}

func (f flow) back() flow { return flow{f.Protocol, f.To, f.From} }

// sighting is what one packet says.
type sighting struct {
	flow
	Syn, Ack, Rst bool
	Seq           uint32
	TTL           uint8
	// Unreachable, if set, is what ICMP says of flow, the packet that it quotes.
	Unreachable *unreachable
}

// unreachable is an ICMP destination unreachable message (RFC 792).
type unreachable struct {
	By   netip.Addr
	Code uint8
}

// The codes by which something on the way, or the far end's firewall, refuses to pass a
// packet on (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1).
var unreachableCodes = [...]string{
	0: "network unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
	4: "fragmentation needed", 5: "source route failed", 6: "network unknown", 7: "host unknown", 8: "source isolated",
	9: "network administratively prohibited", 10: "host administratively prohibited",
	11: "network unreachable for the type of service", 12: "host unreachable for the type of service",
	13: "communication administratively prohibited", 14: "host precedence violation", 15: "precedence cut off",
}

const (
	codeProtocolUnreachable = 2
	codeFragmentation       = 4
)

func (u *unreachable) String() string {
	name := "unreachable"
	if int(u.Code) < len(unreachableCodes) {
		name = unreachableCodes[u.Code]
	}
	return fmt.Sprintf("ICMP %s (type 3, code %d) from %s", name, u.Code, u.By)
}

const (
	icmpUnreachable = 3
	icmpHeader      = 8
	ipHeader        = 20
	tcpSeen         = 14 // of a TCP header, up to and with its flags
	portsSeen       = 4  // of TCP's and UDP's
)

// parsePacket reads an IPv4 packet that begins at its IP header and may be cut short. It
// is false for what says nothing about a connection: another protocol, a later fragment.
func parsePacket(p []byte) (sighting, bool) {
	ip, ok := parseIP(p)
	if !ok {
		return sighting{}, false
	}
	switch ip.protocol {
	case protocolTCP:
		return ip.tcp()
	case protocolICMP:
		return ip.icmp()
	}
	return sighting{}, false
}

// ipPacket is an IPv4 packet (RFC 791, section 3.1).
type ipPacket struct {
	from, to      netip.Addr
	protocol, ttl uint8
	payload       []byte
}

func parseIP(p []byte) (ipPacket, bool) {
	if len(p) < ipHeader || p[0]>>4 != 4 {
		return ipPacket{}, false
	}
	header := int(p[0]&0xf) * 4
	fragment := binary.BigEndian.Uint16(p[6:]) & 0x1fff
	if header < ipHeader || len(p) < header || fragment != 0 {
		return ipPacket{}, false
	}
	return ipPacket{from: netip.AddrFrom4([4]byte(p[12:16])), to: netip.AddrFrom4([4]byte(p[16:20])),
		protocol: p[9], ttl: p[8], payload: p[header:]}, true
}

// flow is that of the packet; it needs four bytes of payload where there are ports.
func (ip ipPacket) flow() (flow, bool) {
	f := flow{Protocol: ip.protocol, From: netip.AddrPortFrom(ip.from, 0), To: netip.AddrPortFrom(ip.to, 0)}
	if ip.protocol != protocolTCP && ip.protocol != protocolUDP {
		return f, true
	}
	if len(ip.payload) < portsSeen {
		return f, false
	}
	f.From = netip.AddrPortFrom(ip.from, binary.BigEndian.Uint16(ip.payload))
	f.To = netip.AddrPortFrom(ip.to, binary.BigEndian.Uint16(ip.payload[2:]))
	return f, true
}

// tcp reads the header's beginning (RFC 9293, section 3.1).
func (ip ipPacket) tcp() (sighting, bool) {
	f, ok := ip.flow()
	if !ok || len(ip.payload) < tcpSeen {
		return sighting{}, false
	}
	const rst, syn, ack = 0x04, 0x02, 0x10
	flags := ip.payload[13]
	return sighting{flow: f, TTL: ip.ttl, Seq: binary.BigEndian.Uint32(ip.payload[4:]),
		Rst: flags&rst != 0, Syn: flags&syn != 0, Ack: flags&ack != 0}, true
}

// icmp reads a destination unreachable message, which quotes the packet it is about with
// at least eight bytes of its payload (RFC 792).
func (ip ipPacket) icmp() (sighting, bool) {
	if len(ip.payload) < icmpHeader || ip.payload[0] != icmpUnreachable || ip.payload[1] == codeFragmentation {
		return sighting{}, false
	}
	about, ok := parseIP(ip.payload[icmpHeader:])
	if !ok {
		return sighting{}, false
	}
	f, ok := about.flow()
	return sighting{flow: f, TTL: ip.ttl, Unreachable: &unreachable{By: ip.from, Code: ip.payload[1]}}, ok
}
