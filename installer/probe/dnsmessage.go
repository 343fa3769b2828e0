package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsReply is what a server says of a name.
type dnsReply struct {
	addrs     []netip.Addr
	code      dnsmessage.RCode
	truncated bool
}

// dnsQuery asks for the IPv4 addresses of a name (RFC 1035, section 4).
func dnsQuery(id uint16, name string) ([]byte, error) {
	n, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil, fmt.Errorf("asking for %q: %w", name, err)
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	packed, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("asking for %q: %w", name, err)
	}
	return packed, nil
}

var errNotTheAnswer = errors.New("not the answer to the question")

// readDNS reads the answer to a query with that id and name. Addresses at the end of a
// chain of aliases are the name's.
func readDNS(p []byte, id uint16, name string) (dnsReply, error) {
	var parser dnsmessage.Parser
	h, err := parser.Start(p)
	if err != nil {
		return dnsReply{}, fmt.Errorf("reading a DNS answer: %w", err)
	}
	asked, err := parser.Question()
	if err != nil || !h.Response || h.ID != id || !strings.EqualFold(strings.TrimSuffix(asked.Name.String(), "."), strings.TrimSuffix(name, ".")) {
		return dnsReply{}, errNotTheAnswer
	}
	r := dnsReply{code: h.RCode, truncated: h.Truncated}
	if err := parser.SkipAllQuestions(); err != nil {
		return r, fmt.Errorf("reading a DNS answer: %w", err)
	}
	for {
		head, err := parser.AnswerHeader()
		if err != nil { // the end, or where it was cut short
			return r, nil
		}
		if head.Type != dnsmessage.TypeA || head.Class != dnsmessage.ClassINET {
			err = parser.SkipAnswer()
		} else {
			var a dnsmessage.AResource
			a, err = parser.AResource()
			r.addrs = append(r.addrs, netip.AddrFrom4(a.A))
		}
		if err != nil {
			return r, fmt.Errorf("reading a DNS answer: %w", err)
		}
	}
}
