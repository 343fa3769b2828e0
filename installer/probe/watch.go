package probe

import (
	"net/netip"
	"sync"
)

// watch sees the packets that begin, refuse and reject connections, as they leave the
// machine after its firewall and as they come before it. connect(2) tells neither
// whether a packet ever left nor who sent the refusal.
type watch struct {
	packets  *packets // nil: not possible
	why      error    // and why not
	mu       sync.Mutex
	expected map[netip.Addr]bool
	traces   map[traceKey]*trace
	arrived  func(sighting) // may be nil
}

// traceKey leaves out the machine's own address: translation on the way out may change it.
type traceKey struct {
	protocol uint8
	port     uint16 // of ours
	remote   netip.AddrPort
}

// trace is what was seen of one connection from here.
type trace struct {
	Left     bool // a first packet of ours left the machine
	Answered bool // a SYN-ACK came
	Rst      bool
	RstTTL   uint8
	Rejected *unreachable
	Self     bool // it was this machine that rejected
}

// newWatch watches until close. Where that is not possible it sees nothing and says why.
func newWatch(arrived func(sighting)) *watch {
	w := &watch{expected: map[netip.Addr]bool{}, traces: map[traceKey]*trace{}, arrived: arrived}
	w.packets, w.why = openPackets(w.see)
	return w
}

func (w *watch) close() {
	if w.packets != nil {
		w.packets.close()
	}
}

// expect keeps what is seen of connections to the address; the rest of a busy machine's
// packets are passed over.
func (w *watch) expect(to netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expected[to] = true
}

// see takes note of a packet. outgoing means that it left the machine.
func (w *watch) see(s sighting, outgoing bool) {
	if s.Syn && !s.Ack && !outgoing && w.arrived != nil {
		w.arrived(s)
	}
	ours := s.flow // as we sent it
	if (s.Syn && s.Ack) || s.Rst {
		ours = s.back()
	} else if s.Unreachable == nil && !outgoing {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.expected[ours.To.Addr()] {
		w.trace(ours).note(s)
	}
}

// trace is made on first sight; the caller holds the lock.
func (w *watch) trace(f flow) *trace {
	key := traceKey{f.Protocol, f.From.Port(), f.To}
	t := w.traces[key]
	if t == nil {
		t = &trace{}
		w.traces[key] = t
	}
	return t
}

func (t *trace) note(s sighting) {
	switch {
	case s.Unreachable != nil:
		t.Rejected, t.Self = s.Unreachable, s.Unreachable.By == s.From.Addr()
	case s.Rst:
		t.Rst, t.RstTTL = true, s.TTL
	case s.Syn && s.Ack:
		t.Answered = true
	case s.Syn:
		t.Left = true
	}
}

// of is what was seen of a connection until now. The kernel hands a packet to the watch
// before it acts on it, so what made connect(2) fail is among it.
func (w *watch) of(protocol uint8, port uint16, remote netip.AddrPort) trace {
	if w.packets == nil {
		return trace{}
	}
	w.packets.drain()
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.traces[traceKey{protocol, port, remote}]; t != nil {
		return *t
	}
	return trace{}
}

// whole says whether the watch missed nothing, so that what it did not see was not there.
func (w *watch) whole() bool { return w.packets != nil && w.packets.whole() }
