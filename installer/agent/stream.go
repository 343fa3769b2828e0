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

	mu      sync.Mutex
	waiting map[string]chan net.Conn // streams that belong to a call, by name
}

func newMux(session *yamux.Session, handlers map[string]StreamHandler) *mux {
	return &mux{session: session, handlers: handlers, waiting: map[string]chan net.Conn{}}
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
			return err
		}
		running.Go(func() { m.dispatch(ctx, stream) })
	}
}

func (m *mux) dispatch(ctx context.Context, stream net.Conn) {
	in := bufio.NewReaderSize(stream, maxHeader)
	h, err := readHeader(in)
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
	select {
	case m.rendezvous(h.Name) <- named:
	default: // nobody calls a second stream by the same name
		stream.Close()
	}
}

// claim waits for the stream that the other side opened for a call.
func (m *mux) claim(ctx context.Context, name string) (net.Conn, error) {
	defer m.forget(name)
	select {
	case s := <-m.rendezvous(name):
		return s, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for stream %s: %w", name, context.Cause(ctx))
	case <-m.session.CloseChan():
		return nil, fmt.Errorf("waiting for stream %s: %w", name, io.ErrUnexpectedEOF)
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
