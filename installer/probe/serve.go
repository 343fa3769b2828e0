package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// answerTime is how long a connection to a listener may stay.
	answerTime = 3 * time.Second
	// maxConnections is how many a listener answers at once; a network that scans back
	// must not take the machine's descriptors.
	maxConnections = 256
	// maxArrivals is how many connection attempts are remembered, so that each is told
	// once. A busy server's clients beyond that are told again.
	maxArrivals = 1 << 16
)

// Listen answers on every port of the request where nothing listens yet, on all
// addresses, and tells of connections that arrive at any of them, as long as ctx lasts. A
// port that cannot be listened on is told in its state and is no error. An error of event
// ends it. Nothing is left when it returns, and the end of ctx is no error.
func Listen(ctx context.Context, env Env, r ListenRequest, event func(ListenEvent) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l := &listening{env: env, request: r, event: event, stop: stop,
		slots: make(chan struct{}, maxConnections), told: map[arrivalKey]bool{}, arrivals: make(chan Arrival, maxConnections)}
	own, err := ownAddresses()
	if err != nil {
		return err
	}
	w := newWatch(func(s sighting) {
		if own[s.To.Addr()] && slices.Contains(r.Ports, s.To.Port()) {
			l.arrived(s.From, s.To.Port())
		}
	})
	defer w.close()
	listeners, err := l.open(ctx, w.packets != nil)
	if err != nil {
		return err
	}
	for _, one := range listeners {
		l.working.Go(func() { l.accept(one) })
	}
	l.working.Go(func() { l.tell(ctx) })
	<-ctx.Done()
	for _, one := range listeners {
		one.Close()
	}
	l.hangUp()
	l.working.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// listening is one Listen.
type listening struct {
	env     Env
	request ListenRequest
	event   func(ListenEvent) error
	stop    context.CancelCauseFunc
	slots   chan struct{}
	working sync.WaitGroup

	mu       sync.Mutex
	told     map[arrivalKey]bool
	arrivals chan Arrival
	conns    map[net.Conn]bool
	closed   bool
}

type arrivalKey struct {
	from netip.AddrPort
	port uint16
}

// ownAddresses are those at which a packet is for this machine or what it publishes, and
// not on its way through.
func ownAddresses() (map[netip.Addr]bool, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("reading this machine's addresses: %w", err)
	}
	own := map[netip.Addr]bool{}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own[p.Addr().Unmap()] = true
		}
	}
	return own, nil
}

// open listens where nothing does, and tells each port's state in the request's order.
func (l *listening) open(ctx context.Context, watched bool) ([]net.Listener, error) {
	taken, err := takenPorts(ctx, l.env.Root)
	if err != nil {
		return nil, err
	}
	var open []net.Listener
	for _, port := range l.request.Ports {
		state := PortState{Port: port, Watched: watched}
		if by, ok := taken[port]; ok {
			state.By = by
		} else if one, err := net.Listen("tcp4", fmt.Sprintf(":%d", port)); err != nil {
			state.Err = err.Error()
		} else {
			open, state.Ours = append(open, one), true
		}
		l.hand(ListenEvent{State: &state})
	}
	return open, nil
}

// hand gives an event on; its error ends everything.
func (l *listening) hand(e ListenEvent) {
	if err := l.event(e); err != nil {
		l.stop(fmt.Errorf("telling of a listener: %w", err))
	}
}

// arrived takes note of a connection attempt. It must not wait: it is called between
// packets. What does not fit is told when it is tried again, which TCP does.
func (l *listening) arrived(from netip.AddrPort, port uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := arrivalKey{from, port}
	if l.told[key] {
		return
	}
	select {
	case l.arrivals <- Arrival{From: from.String(), Port: port}:
	default:
		return
	}
	if len(l.told) == maxArrivals {
		clear(l.told)
	}
	l.told[key] = true
}

func (l *listening) tell(ctx context.Context) {
	for {
		select {
		case a := <-l.arrivals:
			l.hand(ListenEvent{Arrival: &a})
		case <-ctx.Done():
			return
		}
	}
}

// accept answers whoever connects, until the listener is closed.
func (l *listening) accept(one net.Listener) {
	for {
		conn, err := one.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // descriptors ran out, or the other side was gone again
			time.Sleep(acceptPause)
			continue
		}
		l.taken(conn)
	}
}

// acceptPause is as long as a machine short of something is left alone.
const acceptPause = 50 * time.Millisecond

// taken answers one connection beside the others.
func (l *listening) taken(conn net.Conn) {
	from, port := conn.RemoteAddr().(*net.TCPAddr).AddrPort(), conn.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	l.arrived(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), port) // also where packets cannot be watched
	select {
	case l.slots <- struct{}{}:
	default:
		conn.Close()
		return
	}
	if !l.keep(conn) {
		conn.Close()
		<-l.slots
		return
	}
	l.working.Go(func() {
		defer func() { <-l.slots }()
		defer l.drop(conn)
		l.answer(conn)
	})
}

// answer writes the token and waits for the other side to leave.
func (l *listening) answer(conn net.Conn) {
	_ = conn.SetDeadline(l.env.Now().Add(answerTime)) // fails on a closed connection alone
	if _, err := io.WriteString(conn, l.request.Token+"\n"); err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, maxDatagram)) // whoever speaks is not listened to
	}
}

func (l *listening) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.conns == nil {
		l.conns = map[net.Conn]bool{}
	}
	l.conns[conn] = true
	return true
}

func (l *listening) drop(conn net.Conn) {
	l.mu.Lock()
	delete(l.conns, conn)
	l.mu.Unlock()
	conn.Close()
}

// hangUp ends every connection, so that nobody is waited for.
func (l *listening) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for conn := range l.conns {
		conn.Close()
	}
}
