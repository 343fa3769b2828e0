package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// firstAddress looks up the host and gives its first address; false: the verdict is given.
func (q *question) firstAddress(ctx context.Context) (netip.AddrPort, bool) {
	all, ok := q.lookUp(ctx, q.spec.Host)
	if !ok {
		return netip.AddrPort{}, false
	}
	to := netip.AddrPortFrom(all[0], q.spec.Port)
	q.out.Address = to.String()
	return to, true
}

// exchange has talk send to the address and wait for an answer over UDP. What came of it
// is ruled by talk's error: nil is an answer.
func (q *question) exchange(ctx context.Context, to netip.AddrPort, talk func(net.Conn) error) ruling {
	q.watch.expect(to.Addr())
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp4", to.String())
	if err != nil {
		return judge(q.attempt(protocolUDP, 0, to, err))
	}
	defer conn.Close()
	defer boundBy(ctx, conn)()
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort() // as of every UDP connection
	err = talk(conn)
	return judge(q.attempt(protocolUDP, local.Port(), to, err))
}

// tries is how often a datagram is sent before silence is believed.
const tries = 3

// maxDatagram is the largest answer read, in bytes.
const maxDatagram = 64 << 10

// repeat sends the packet, evenly spread over the time there is, until an answer is
// accepted. Its error is the last one of the network.
func (e Env) repeat(ctx context.Context, conn net.Conn, packet []byte, accept func(answer []byte) bool) error {
	buf := make([]byte, maxDatagram)
	var err error
	for left := tries; left > 0 && ctx.Err() == nil; left-- {
		share, cancel := e.shareOf(ctx, left)
		err = once(share, conn, packet, buf, accept)
		cancel()
		if err == nil || !timedOut(err) {
			return err
		}
	}
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return fmt.Errorf("waiting for an answer: %w", cause)
	}
	return err
}

func once(ctx context.Context, conn net.Conn, packet, buf []byte, accept func([]byte) bool) error {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // fails on a closed connection alone
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write(packet); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return fmt.Errorf("waiting for an answer: %w", err)
		}
		if accept(buf[:n]) {
			return nil
		}
	}
}

// ruled takes over a ruling as the outcome.
func (q *question) ruled(r ruling) {
	q.out.Verdict, q.out.Cause, q.out.Lost = r.verdict, r.cause, r.lost
	q.out.Evidence = append(q.out.Evidence, r.evidence...)
}
