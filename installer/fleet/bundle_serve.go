package fleet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/bundle"
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
	conn := &servedConn{Conn: stream, closed: make(chan struct{})}
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

// servedConn is a connection whose end can be waited for.
type servedConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (w *servedConn) Close() error {
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
