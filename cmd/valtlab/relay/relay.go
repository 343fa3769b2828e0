// Package relay puts a distance between two ends of a TCP connection. The kernels that
// the practice site runs on lack netem, so delay is made by carrying the bytes: every
// piece that arrives is given on a fixed time later, in each direction on its own.
// Pieces in flight do not wait for each other, so the throughput stays what it was.
package relay

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"ipivs.com/valtctl/repos/sleep"
)

// Relay listens and carries every connection to Target.
type Relay struct {
	Target string        // host:port
	Delay  time.Duration // one way: a round trip takes twice this longer
	// Rate limits each direction of each connection, in bytes a second; 0: no limit.
	Rate int64
	// Ended, if set, is told of each connection that has ended how many round trips it
	// took one after the other, the handshake of TCP included. It is called from
	// several goroutines.
	Ended func(trips int)
}

// window is how many bytes may be in flight in one direction before the sender has to
// wait, as a TCP window would have it.
const window = 16 << 20

// pieceSize is how much is read at a time.
const pieceSize = 32 << 10

// Serve carries connections until the context ends, which also ends those that are
// open. It closes the listener.
func (r Relay) Serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("listening on %s: %w", listener.Addr(), err)
		}
		open.Go(func() { r.carry(ctx, conn) })
	}
}

// carry joins one connection to the target. The handshake is given a round trip too:
// the client's own was with this machine.
func (r Relay) carry(ctx context.Context, near net.Conn) {
	defer near.Close()
	if sleep.For(ctx, 2*r.Delay) != nil {
		return
	}
	far, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Target)
	if err != nil {
		return // the client sees the connection closed, as it would
	}
	defer far.Close()
	stop := context.AfterFunc(ctx, func() { _, _ = near.Close(), far.Close() })
	defer stop()
	var count trips
	var both sync.WaitGroup
	both.Go(func() { r.pump(ctx, far, near, count.outward()) })
	both.Go(func() { r.pump(ctx, near, far, count.homeward()) })
	both.Wait()
	if r.Ended != nil {
		r.Ended(count.total())
	}
}

// piece is what was read and when it is due at the other end. An empty one is the end.
type piece struct {
	bytes []byte
	due   time.Time
	trip  int // that it is part of
}

// pump carries one direction until its end, which it passes on.
func (r Relay) pump(ctx context.Context, to, from net.Conn, count direction) {
	queue := make(chan piece, window/pieceSize)
	go r.read(from, queue, count)
	var free time.Time // when the last piece has left, at this rate
	for p := range queue {
		if p.due.Before(free) {
			p.due = free
		}
		if sleep.For(ctx, time.Until(p.due)) != nil {
			break
		}
		if len(p.bytes) == 0 {
			break
		}
		count.arrived(p.trip)
		if _, err := to.Write(p.bytes); err != nil {
			_ = from.Close() // nobody is left to read for
			break
		}
		if r.Rate > 0 {
			free = p.due.Add(time.Duration(int64(len(p.bytes)) * int64(time.Second) / r.Rate))
		}
	}
	closeWrite(to)
	go func() { // let the reader end
		for range queue {
		}
	}()
}

// read queues what arrives. It stops reading while the queue is full.
func (r Relay) read(from io.Reader, queue chan<- piece, count direction) {
	defer close(queue)
	for {
		buffer := make([]byte, pieceSize)
		n, err := from.Read(buffer)
		due := time.Now().Add(r.Delay)
		if n > 0 {
			queue <- piece{bytes: buffer[:n], due: due, trip: count.sent()}
		}
		if err != nil {
			queue <- piece{due: due}
			return
		}
	}
}

// closeWrite passes on the end of one direction while the other goes on.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // a connection that is closed already has ended too
	}
}
