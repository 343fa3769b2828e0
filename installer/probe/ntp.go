package probe

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/beevik/ntp"
)

// askNTP asks for the time. The far end's clock and how far it is ahead are told even if
// the server itself says that its clock is not to be trusted.
func (q *question) askNTP(ctx context.Context) {
	to, ok := q.firstAddress(ctx)
	if !ok {
		return
	}
	var got *ntp.Response
	r := q.exchange(ctx, to, func(conn net.Conn) error {
		q.out.Local = conn.LocalAddr().String()
		var err error
		got, err = q.queryNTP(ctx, conn)
		return err
	})
	q.ruled(r)
	if got == nil {
		return
	}
	clock := got.Time
	q.out.Clock, q.out.Offset = &clock, got.ClockOffset
	q.out.Evidence = append(q.out.Evidence, fmt.Sprintf("stratum %d, round trip %s", got.Stratum, got.RTT.Round(time.Microsecond)))
	if err := got.Validate(); err != nil {
		q.out.Verdict, q.out.Cause = WrongContent, fmt.Sprintf("it answers, but its time is not to be used: %v", err)
	}
}

// queryNTP asks as often as a datagram is sent. The client of its own closes what it is
// given after each query, so it is given a connection that stays open.
func (q *question) queryNTP(ctx context.Context, conn net.Conn) (*ntp.Response, error) {
	var err error
	for left := tries; left > 0 && ctx.Err() == nil; left-- {
		deadline, ok := ctx.Deadline()
		if !ok {
			break
		}
		var got *ntp.Response
		got, err = ntp.QueryWithOptions(q.out.Address, ntp.QueryOptions{
			Timeout: deadline.Sub(q.env.Now()) / time.Duration(left), GetSystemTime: q.env.Now,
			Dialer: func(string, string) (net.Conn, error) { return stayingOpen{conn}, nil }})
		if err == nil {
			return got, nil
		}
		if !timedOut(err) {
			return nil, fmt.Errorf("asking for the time: %w", err)
		}
	}
	if ctx.Err() != nil && err == nil {
		err = ctx.Err()
	}
	return nil, fmt.Errorf("asking for the time: %w", err)
}

type stayingOpen struct{ net.Conn }

func (stayingOpen) Close() error { return nil }
