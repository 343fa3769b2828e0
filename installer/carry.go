package installer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
)

// Carrier is a bundle as the source of a run: hosts fetch from it over the connections that
// the run has with them, and nothing else is asked. It has one password for the run.
type Carrier struct {
	Bundle *bundle.Reader
	server *bundle.Server
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
	mu     sync.Mutex
	ports  map[string]int // by host
}

// NewCarrier serves a bundle that has been verified.
func NewCarrier(b *bundle.Reader) *Carrier {
	var secret [24]byte
	_, _ = rand.Read(secret[:]) // never fails (crypto/rand)
	c := &Carrier{Bundle: b, server: &bundle.Server{Bundle: b, Password: hex.EncodeToString(secret[:])},
		conns: make(chan net.Conn), done: make(chan struct{}), ports: map[string]int{}}
	h := &http.Server{Handler: c.server, ReadHeaderTimeout: time.Minute}
	go func() { _ = h.Serve(c) }() // it ends with Close
	return c
}

// Close ends it: as the listener of its own server, too.
func (c *Carrier) Close() error {
	if c == nil {
		return nil
	}
	c.once.Do(func() { close(c.done) })
	return nil
}

// Sent is how many bytes of each blob the hosts took.
func (c *Carrier) Sent() map[string]int64 { return c.server.Sent() }

// Tell tells what the hosts took: of every blob, and together.
func (c *Carrier) Tell(obs event.Observer) {
	if c == nil {
		return
	}
	var sum int64
	sent := c.Sent()
	for _, digest := range slices.Sorted(maps.Keys(sent)) {
		b, _, _ := c.Bundle.Contents.Blob(digest)
		obs.Observe(event.Event{Kind: event.Carried, Text: digest, Done: sent[digest], Total: b.Size})
		sum += sent[digest]
	}
	obs.Observe(event.Event{Kind: event.Note, Text: fmt.Sprintf("the servers took %d bytes of %d blobs from the bundle", sum, len(sent))})
}

// Accept hands over a connection that an agent carries.
func (c *Carrier) Accept() (net.Conn, error) {
	select {
	case conn := <-c.conns:
		return conn, nil
	case <-c.done:
		return nil, http.ErrServerClosed
	}
}

// Addr is of no meaning.
func (c *Carrier) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// streams are the handlers of what agents open; nil without a bundle.
func (c *Carrier) streams() map[string]agent.StreamHandler {
	if c == nil {
		return nil
	}
	return map[string]agent.StreamHandler{agent.StreamCarried: c.handle}
}

// handle gives a stream to the server and waits for its end.
func (c *Carrier) handle(ctx context.Context, stream net.Conn) {
	conn := &waited{Conn: stream, closed: make(chan struct{})}
	select {
	case c.conns <- conn:
	case <-ctx.Done():
		return
	case <-c.done:
		return
	}
	select {
	case <-conn.closed:
	case <-ctx.Done():
	}
}

// waited is a connection whose end can be waited for.
type waited struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (w *waited) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// begin has a host's agent carry. After a lost connection it is at the same port, so that a
// transaction that goes on finds it.
func (c *Carrier) begin(ctx context.Context, host string, client *agent.Client) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	port := c.ports[host]
	c.mu.Unlock()
	reply, err := client.Carry(ctx, agent.CarryRequest{Port: port})
	if err != nil {
		return fmt.Errorf("host %s: carrying the bundle: %w", host, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ports[host] = reply.Port
	return nil
}

// port is where a host's programs reach the bundle; 0 where there is none.
func (c *Carrier) port(host string) int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ports[host]
}

// secret is what a host's steps are told.
func (c *Carrier) secret(host string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, err := json.Marshal(step.Carried{Address: fmt.Sprintf("127.0.0.1:%d", c.ports[host]), User: bundle.User, Password: c.server.Password})
	if err != nil {
		return nil // it holds strings alone
	}
	return text
}

// client reads the release repository from the bundle.
func (c *Carrier) client(base string) *http.Client {
	return &http.Client{Transport: fromBundle{c.Bundle, base}}
}

// fromBundle answers requests below a repository's address with files of the bundle.
type fromBundle struct {
	bundle *bundle.Reader
	base   string
}

// RoundTrip is http.RoundTripper's.
func (f fromBundle) RoundTrip(r *http.Request) (*http.Response, error) {
	path, ok := strings.CutPrefix(r.URL.String(), f.base)
	if !ok {
		return nil, fmt.Errorf("asking for %s: it is not of the repository that the bundle holds", r.URL)
	}
	digest, ok := f.bundle.File("tuf/" + path)
	reply := &http.Response{StatusCode: http.StatusNotFound, ProtoMajor: 1, ProtoMinor: 1, Request: r, Body: http.NoBody, Header: http.Header{}}
	if !ok {
		return reply, nil
	}
	in, size, err := f.bundle.Blob(digest)
	if err != nil {
		return nil, err
	}
	reply.StatusCode, reply.ContentLength = http.StatusOK, size
	reply.Body = io.NopCloser(in)
	return reply, nil
}

// age is what people should know of a bundle, whose metadata is judged at the time when it
// was made.
func (c *Carrier) age(now time.Time) string {
	made := c.Bundle.Contents.Made
	return fmt.Sprintf("the bundle was made on %s by %s, %d days ago", made.UTC().Format(time.DateOnly), c.Bundle.Contents.Maker, int(now.Sub(made).Hours()/24))
}

// fits refuses a bundle without the release that a run is about.
func (c *Carrier) fits(version string) error {
	have := append([]string{c.Bundle.Contents.Release}, c.Bundle.Contents.Also...)
	for _, v := range have {
		if v == version {
			return nil
		}
	}
	return &problem.Error{Kind: problem.Input, Doing: "reading the bundle for release", Object: version,
		Err: fmt.Errorf("it holds %s", strings.Join(have, ", ")), Fix: "make one with: valtctl bundle create --release " + version}
}
