package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// maxAddresses is how many of a name's addresses are tried; each gets its share of the time.
const maxAddresses = 3

// question is one Spec while it is asked.
type question struct {
	env   Env
	req   *Request
	spec  Spec
	out   *Outcome
	watch *watch
	led   string // why another machine than Spec's is asked; empty: it is not
}

// overTCP looks up, dials and converses.
func (q *question) overTCP(ctx context.Context) {
	conn := q.connect(ctx)
	if conn == nil {
		return
	}
	defer conn.Close()
	defer boundBy(ctx, conn)()
	converse(ctx, q.env, q.req, q.spec, conn, q.out)
}

// connect looks up and dials. Without a connection the outcome has the verdict.
func (q *question) connect(ctx context.Context) net.Conn {
	host, port, err := q.target()
	if err != nil {
		q.out.Verdict, q.out.Cause = Unknown, err.Error()
		return nil
	}
	all, ok := q.lookUp(ctx, host)
	if !ok {
		return nil
	}
	conn, r := q.dialAny(ctx, all, port)
	q.out.Evidence = append(q.out.Evidence, r.evidence...)
	if conn == nil {
		q.out.Verdict, q.out.Cause, q.out.Lost = r.verdict, q.of(r.cause), r.lost
		return nil
	}
	q.out.Local = conn.LocalAddr().String()
	return conn
}

// boundBy ends what is done on the connection with ctx.
func boundBy(ctx context.Context, conn net.Conn) (stop func() bool) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // fails on a closed connection alone
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// target is where to dial: the far end, or the proxy to it.
func (q *question) target() (string, uint16, error) {
	if q.spec.Proxy == "" {
		return q.spec.Host, q.spec.Port, nil
	}
	u, err := url.Parse(q.spec.Proxy)
	if err != nil || u.Hostname() == "" {
		return "", 0, errors.New("the proxy is not a URL like http://proxy.example.com:3128")
	}
	if u.Port() == "" && u.Scheme == "https" {
		return u.Hostname(), 443, nil
	}
	if u.Port() == "" {
		return u.Hostname(), 80, nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("reading the proxy's port: %w", err)
	}
	return u.Hostname(), uint16(port), nil
}

// of says of a cause if it is the proxy's.
func (q *question) of(cause string) string {
	if q.spec.Proxy == "" {
		return cause
	}
	host, port, err := q.target()
	if err != nil {
		return "the proxy: " + cause
	}
	return fmt.Sprintf("the proxy %s:%d: %s", host, port, cause)
}

// lookUp finds the addresses, or gives the verdict.
func (q *question) lookUp(ctx context.Context, host string) ([]netip.Addr, bool) {
	all, err := resolve(ctx, q.env, host)
	if errors.Is(err, context.Canceled) {
		q.out.Verdict, q.out.Cause = Unknown, "the check was ended before an answer came"
		return nil, false
	}
	if err != nil {
		q.out.Verdict, q.out.Cause = NoName, q.of(err.Error())
		return nil, false
	}
	if len(all) > 1 || all[0].String() != host {
		q.out.Evidence = append(q.out.Evidence, fmt.Sprintf("%s is %s", host, joinAddrs(all)))
	}
	return all, true
}

// dialAny tries one address after the other. The ruling is that of the first one, which
// is what other programs try first too, unless another comes about.
func (q *question) dialAny(ctx context.Context, all []netip.Addr, port uint16) (net.Conn, ruling) {
	all = all[:min(len(all), maxAddresses)]
	var first ruling
	for i, a := range all {
		to := netip.AddrPortFrom(a, port)
		share, cancel := q.env.shareOf(ctx, len(all)-i)
		conn, tried := q.dial(share, to)
		cancel()
		r := judge(tried)
		if conn != nil {
			q.out.Address = to.String()
			return conn, ruling{verdict: Works, evidence: first.evidence}
		}
		if i > 0 {
			first.evidence = append(first.evidence, r.evidence...)
			continue
		}
		first, q.out.Address = r, to.String()
		q.out.Local, q.out.Silent = tried.from(), r.silence
	}
	return nil, first
}

// from is where a try started, whatever became of it; empty where the port is not known.
func (a attempt) from() string {
	if a.local == 0 {
		return ""
	}
	conn, err := net.Dial("udp4", a.to.String()) // sends nothing, and shows the source address
	if err != nil {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), a.local).String()
	}
	defer conn.Close()
	return netip.AddrPortFrom(conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), a.local).String() // as of every UDP connection
}

// shareOf is an equal share for each that is left of the time that is left.
func (e Env) shareOf(ctx context.Context, left int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || left < 2 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, deadline.Sub(e.Now())/time.Duration(left))
}

// dial makes one attempt. The port is bound first, so that the packets are known.
func (q *question) dial(ctx context.Context, to netip.AddrPort) (net.Conn, attempt) {
	q.watch.expect(to.Addr())
	var local uint16
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var bindErr error
		err := c.Control(func(fd uintptr) { local, bindErr = bindPort(fd) })
		return errors.Join(err, bindErr)
	}}
	d.SetMultipathTCP(false) // what is asked for is plain TCP
	conn, err := d.DialContext(ctx, "tcp4", to.String())
	return conn, q.attempt(protocolTCP, local, to, err)
}

// attempt gathers what is known of a try that ended with err.
func (q *question) attempt(protocol uint8, local uint16, to netip.AddrPort, err error) attempt {
	a := attempt{protocol: protocol, to: to, local: local, err: err, unable: q.watch.why}
	if err == nil {
		return a
	}
	a.trace = q.watch.of(protocol, local, to)
	a.watched = q.watch.whole()
	if hop, silent := silentNeighbour(q.env.Root, to.Addr()); silent {
		a.silent = hop
	}
	return a
}
