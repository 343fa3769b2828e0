package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// maxHeader is the longest first line of a stream, in bytes.
const maxHeader = 4 << 10

// header is the first line of every stream but the first.
type header struct {
	Name string `json:"name"`
}

// StreamHandler serves one stream that the other side opened. The stream is closed
// when it returns.
type StreamHandler func(ctx context.Context, stream net.Conn)

// Opener opens a stream to the other side's handler of that name.
type Opener func(name string) (net.Conn, error)

// mux is one end of a session and its named streams.
type mux struct {
	session  *yamux.Session
	handlers map[string]StreamHandler
	limits   Limits
	unasked  bool // no call of the other side claims a stream here

	mu      sync.Mutex
	waiting map[string]chan net.Conn // streams that belong to a call, by name
	failed  error                    // why this side ended the session
}

func newMux(session *yamux.Session, handlers map[string]StreamHandler, l Limits) *mux {
	return &mux{session: session, handlers: handlers, limits: l, waiting: map[string]chan net.Conn{}}
}

// fail ends the session for what the other side did. The first reason is kept.
func (m *mux) fail(why error) {
	m.mu.Lock()
	if m.failed == nil && !m.session.IsClosed() {
		m.failed = why
	}
	m.mu.Unlock()
	m.session.Close()
}

// why is what ended the session: what this side had against it, or else err.
func (m *mux) why(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return m.failed
	}
	return err
}

// open opens a stream and names it. It waits for no answer.
func (m *mux) open(name string) (net.Conn, error) {
	stream, err := m.session.Open()
	if err != nil {
		return nil, fmt.Errorf("opening stream %s: %w", name, err)
	}
	line, err := json.Marshal(header{Name: name})
	if err == nil {
		_, err = stream.Write(append(line, '\n'))
	}
	if err != nil {
		stream.Close()
		return nil, fmt.Errorf("opening stream %s: %w", name, err)
	}
	return stream, nil
}

// serve takes streams until the session ends and returns why it ended.
func (m *mux) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for {
		stream, err := m.session.Accept()
		if err != nil {
			return m.why(err)
		}
		// One that this side has closed counts until the other side has: its bytes stay as long.
		if n := m.session.NumStreams(); n > m.limits.Streams {
			m.fail(tooMuch("a stream beside %d that are open, and at most %d may be", n-1, m.limits.Streams))
			continue
		}
		running.Go(func() { m.dispatch(ctx, stream) })
	}
}

// claimWithin is how long a stream may be without a name, and one that belongs to a call without
// the call, which comes at the same time.
const claimWithin = time.Minute

func (m *mux) dispatch(ctx context.Context, stream net.Conn) {
	late := time.AfterFunc(claimWithin, func() { giveUp(stream) })
	in := bufio.NewReaderSize(stream, maxHeader)
	h, err := readHeader(in)
	late.Stop()
	if err != nil {
		stream.Close()
		return
	}
	named := &namedStream{Conn: stream, in: in}
	if handler := m.handlers[h.Name]; handler != nil {
		defer stream.Close()
		handler(ctx, named)
		return
	}
	if m.unasked || !m.wait(h.Name, named) {
		stream.Close()
	}
}

// wait has a stream wait for its call. A second one by the same name is none's.
func (m *mux) wait(name string, stream net.Conn) bool {
	ch := m.rendezvous(name)
	select {
	case ch <- stream:
	default:
		return false
	}
	time.AfterFunc(claimWithin, func() {
		select {
		case unclaimed := <-ch: // its call does not come any more
			m.forget(name)
			unclaimed.Close()
		default:
		}
	})
	return true
}

// claim waits for the stream that the other side opened for a call.
func (m *mux) claim(ctx context.Context, name string) (net.Conn, error) {
	defer m.forget(name)
	ctx, cancel := context.WithTimeoutCause(ctx, claimWithin, fmt.Errorf("it did not come within %s", claimWithin))
	defer cancel()
	select {
	case s := <-m.rendezvous(name):
		return s, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for stream %s: %w", name, context.Cause(ctx))
	case <-m.session.CloseChan():
		return nil, fmt.Errorf("waiting for stream %s: %w", name, m.why(io.ErrUnexpectedEOF))
	}
}

// rendezvous is where a call and its stream meet, whichever comes first.
func (m *mux) rendezvous(name string) chan net.Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	ch := m.waiting[name]
	if ch == nil {
		ch = make(chan net.Conn, 1)
		m.waiting[name] = ch
	}
	return ch
}

func (m *mux) forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.waiting, name)
}

// namedStream is a stream whose first line was read.
type namedStream struct {
	net.Conn
	in *bufio.Reader
}

func (s *namedStream) Read(b []byte) (int, error) { return s.in.Read(b) }

func readHeader(r *bufio.Reader) (header, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return header{}, fmt.Errorf("reading a stream's first line: %w", err)
	}
	var h header
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return header{}, fmt.Errorf("reading a stream's first line: %w", err)
	}
	if h.Name == "" {
		return header{}, errors.New("reading a stream's first line: it names nothing")
	}
	return h, nil
}
