package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	dnsPort    = 53
	maxServers = 8 // of a machine; resolv.conf(5) reads three
)

// askDNS looks up every name at the server, or at each of the machine's own, and a name
// that cannot exist. The verdict is the worst that any server earns.
func (q *question) askDNS(ctx context.Context) {
	servers, ok := q.servers(ctx)
	if !ok {
		return
	}
	rulings := make([]ruling, len(servers))
	answers := make([]map[string][]string, len(servers))
	var asking sync.WaitGroup
	for i, s := range servers {
		asking.Go(func() { rulings[i], answers[i] = q.askServer(ctx, s) })
	}
	asking.Wait()
	q.out.Answers = map[string][]string{}
	for _, of := range answers {
		for name, addrs := range of {
			q.out.Answers[name] = append(q.out.Answers[name], addrs...)
		}
	}
	for name, addrs := range q.out.Answers {
		slices.Sort(addrs)
		q.out.Answers[name] = append([]string{}, slices.Compact(addrs)...)
	}
	q.ruled(worst(rulings))
}

// worst takes the verdict that stands in the way most, and the causes of all that do.
func worst(all []ruling) ruling {
	order := []Verdict{Works, Unknown, NoName, WrongContent, Filtered, Refused}
	sum := ruling{verdict: Works}
	var causes []string
	for _, r := range all {
		if slices.Index(order, r.verdict) > slices.Index(order, sum.verdict) {
			sum.verdict, sum.lost = r.verdict, r.lost
		}
		if r.cause != "" {
			causes = append(causes, r.cause)
		}
		sum.evidence = append(sum.evidence, r.evidence...)
	}
	sum.cause = strings.Join(causes, "; ")
	return sum
}

// servers are those that are asked; false: the verdict is given.
func (q *question) servers(ctx context.Context) ([]netip.AddrPort, bool) {
	if q.spec.Host != "" {
		if q.spec.Port == 0 {
			q.spec.Port = dnsPort
		}
		to, ok := q.firstAddress(ctx)
		return []netip.AddrPort{to}, ok
	}
	own := resolvers(q.env.Root)
	if len(own) == 0 {
		q.out.Verdict, q.out.Cause = NoName, "this machine has no DNS server"
		return nil, false
	}
	return own, true
}

// resolvers are the machine's DNS servers: systemd-resolved's, where it runs, since
// resolv.conf then names only its own address (systemd-resolved.service(8)).
func resolvers(root string) []netip.AddrPort {
	for _, file := range []string{"run/systemd/resolve/resolv.conf", "etc/resolv.conf"} {
		content, err := os.ReadFile(filepath.Join("/", root, file))
		if err == nil {
			return parseResolvConf(string(content))
		}
	}
	return nil
}

func parseResolvConf(content string) []netip.AddrPort {
	var servers []netip.AddrPort
	for line := range strings.Lines(content) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" || len(servers) == maxServers {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil && a.Is4() {
			servers = append(servers, netip.AddrPortFrom(a, dnsPort))
		}
	}
	return servers
}

// askServer asks one server for every name at once.
func (q *question) askServer(ctx context.Context, server netip.AddrPort) (ruling, map[string][]string) {
	names := append(slices.Clone(q.spec.Names), inventedName())
	replies := make([]dnsReply, len(names))
	rulings := make([]ruling, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() { replies[i], rulings[i] = q.query(ctx, server, name) })
	}
	asking.Wait()
	answers := map[string][]string{}
	for i, name := range q.spec.Names {
		answers[name] = []string{}
		for _, a := range replies[i].addrs {
			answers[name] = append(answers[name], a.String())
		}
	}
	return judgeServer(server, names, replies, rulings), answers
}

// inventedName exists nowhere. It is below a real top-level domain, since servers that
// invent answers leave the reserved ones alone.
func inventedName() string { return "valtctl-" + strings.ToLower(rand.Text()) + ".com" }

// judgeServer rules over one server. The last name is the one that cannot exist; whether
// it is answered at all does not matter, since a server may know only names of its own.
func judgeServer(server netip.AddrPort, names []string, replies []dnsReply, rulings []ruling) ruling {
	last := len(names) - 1
	if !slices.ContainsFunc(rulings, func(r ruling) bool { return r.verdict == Works }) {
		r := rulings[0]
		r.cause = fmt.Sprintf("%s: %s", server, r.cause)
		return r
	}
	sum := ruling{verdict: Works}
	var causes []string
	if invented := replies[last].addrs; len(invented) > 0 {
		sum.verdict = WrongContent
		causes = append(causes, "this server invents answers: a name that cannot exist is "+joinAddrs(invented))
	}
	for i, name := range names[:last] {
		cause := judgeName(replies[i])
		if rulings[i].verdict != Works {
			cause = rulings[i].cause
			sum.evidence = append(sum.evidence, rulings[i].evidence...)
		}
		if cause == "" {
			continue
		}
		causes = append(causes, name+" "+cause)
		if sum.verdict == Works {
			sum.verdict = NoName
		}
	}
	if len(causes) > 0 {
		sum.cause = fmt.Sprintf("%s: %s", server, strings.Join(causes, ", "))
	}
	return sum
}

// judgeName says what is wrong with an answer; empty: nothing.
func judgeName(r dnsReply) string {
	if r.code == dnsmessage.RCodeNameError {
		return "does not exist"
	}
	if r.code != dnsmessage.RCodeSuccess {
		return "is answered with " + strings.TrimPrefix(r.code.String(), "RCode")
	}
	if len(r.addrs) == 0 {
		return "has no IPv4 address"
	}
	for _, a := range r.addrs {
		if wrong := wrongFor(a); wrong != "" {
			return fmt.Sprintf("points to %s (%s)", wrong, a)
		}
	}
	return ""
}

// query asks for one name, and again over TCP where the answer is too long (RFC 7766).
func (q *question) query(ctx context.Context, server netip.AddrPort, name string) (dnsReply, ruling) {
	id := binary.BigEndian.Uint16([]byte(rand.Text()))
	packet, err := dnsQuery(id, name)
	if err != nil {
		return dnsReply{}, ruling{verdict: NoName, cause: err.Error()}
	}
	var reply dnsReply
	accept := func(answer []byte) bool {
		var err error
		reply, err = readDNS(answer, id, name)
		return err == nil
	}
	if q.spec.Protocol != "tcp" {
		r := q.exchange(ctx, server, func(conn net.Conn) error { return q.env.repeat(ctx, conn, packet, accept) })
		if !reply.truncated {
			return reply, r
		}
	}
	return reply, q.queryTCP(ctx, server, packet, accept)
}

// queryTCP puts the length before the message (RFC 1035, section 4.2.2).
func (q *question) queryTCP(ctx context.Context, server netip.AddrPort, packet []byte, accept func([]byte) bool) ruling {
	conn, tried := q.dial(ctx, server)
	if conn == nil {
		return judge(tried)
	}
	defer conn.Close()
	defer boundBy(ctx, conn)()
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	if _, err := conn.Write(framed); err != nil {
		return ruling{verdict: Filtered, cause: "the connection ended when asked", evidence: []string{err.Error()}}
	}
	var size [2]byte
	_, err := io.ReadFull(conn, size[:])
	answer := make([]byte, binary.BigEndian.Uint16(size[:]))
	if err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err != nil {
		return ruling{verdict: Filtered, cause: "it accepts connections and gives no answer", evidence: []string{err.Error()}}
	}
	if !accept(answer) {
		return ruling{verdict: WrongContent, cause: "what answers does not speak DNS"}
	}
	return ruling{verdict: Works}
}
