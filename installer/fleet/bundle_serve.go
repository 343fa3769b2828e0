package fleet

import (
	"context"
	"crypto/rand"
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
// the run has with them, and nothing else is asked. Every connection has a password of its own,
// since the port on the host that leads to it is free again once the connection is lost, and whoever
// takes it then may be told the password: it is good over the lost connection alone.
type Carrier struct {
	Bundle *bundle.Reader
	server *bundle.Server
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
	mu     sync.Mutex
	hosts  map[string]step.Carried // where the bundle answers there now
}

// NewCarrier serves a bundle that has been verified.
func NewCarrier(b *bundle.Reader) *Carrier {
	c := &Carrier{Bundle: b, server: &bundle.Server{Bundle: b}, conns: make(chan net.Conn), done: make(chan struct{}), hosts: map[string]step.Carried{}}
	h := &http.Server{Handler: http.HandlerFunc(c.answer), ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, overConn{}, conn)
		}}
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

// overConn is the key under which a request's connection is found.
type overConn struct{}

// answer answers whoever has the password of the connection that the request came over.
func (c *Carrier) answer(w http.ResponseWriter, r *http.Request) {
	conn, _ := r.Context().Value(overConn{}).(*servedConn)
	if conn == nil {
		http.Error(w, "it came over no connection of this run", http.StatusForbidden)
		return
	}
	c.server.Answer(w, r, conn.password)
}

// carried is the bundle over one connection to a host.
type carried struct {
	*Carrier
	password string
}

// over is the bundle over a new connection; nil without a bundle.
func (c *Carrier) over() *carried {
	if c == nil {
		return nil
	}
	return &carried{c, rand.Text()}
}

// streams are the handlers of what agents open; nil without a bundle.
func (c *carried) streams() map[string]agent.StreamHandler {
	if c == nil {
		return nil
	}
	return map[string]agent.StreamHandler{agent.StreamCarried: c.handle}
}

// handle gives a stream to the server and waits for its end.
func (c *carried) handle(ctx context.Context, stream net.Conn) {
	conn := &servedConn{Conn: stream, password: c.password, closed: make(chan struct{})}
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
	password string // of the connection to the host that it came over
	once     sync.Once
	closed   chan struct{}
}

func (w *servedConn) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// begin has a host's agent carry. After a lost connection it is at the same port, if nobody has
// taken it, so that lists which apt keeps by their address are not carried again.
func (c *carried) begin(ctx context.Context, host string, client *agent.Client) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	port := c.hosts[host].Port()
	c.mu.Unlock()
	reply, err := client.Carry(ctx, agent.CarryRequest{Port: port})
	if err != nil {
		return fmt.Errorf("host %s: carrying the bundle: %w", host, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hosts[host] = step.Carried{Address: fmt.Sprintf("127.0.0.1:%d", reply.Port), User: bundle.User, Password: c.password}
	return nil
}

// secret is what a host's steps are told: where the bundle answers now; none where it does not.
func (c *Carrier) secret(host string) []byte {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at, begun := c.hosts[host]
	if !begun {
		return nil
	}
	text, err := json.Marshal(at)
	if err != nil {
		return nil // it holds strings alone
	}
	return text
}
