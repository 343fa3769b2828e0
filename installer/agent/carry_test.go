package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestTheHostsOwnProgramsReachTheController(t *testing.T) {
	here, there := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Serve(t.Context(), there, Handlers{}) }()
	content := bytes.Repeat([]byte("layer"), 300_000)
	conns := make(chan net.Conn)
	c, err := NewClient(t.Context(), here, "app1", map[string]StreamHandler{StreamCarried: func(ctx context.Context, s net.Conn) {
		select {
		case conns <- s:
		case <-ctx.Done():
		}
		<-ctx.Done()
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(content) }), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(&handed{conns}) }()
	first, err := c.Carry(t.Context(), CarryRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Carry(t.Context(), CarryRequest{}); err != nil || again != first {
		t.Errorf("asked again: %v, %v; it was %v", again, err, first)
	}
	for range 3 {
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", first.Port))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes of %d came (%v)", len(got), len(content), err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", first.Port)); err == nil {
		conn.Close()
		t.Error("the host still listens after the agent's end")
	}
}

// handed is a listener of connections that come another way.
type handed struct{ conns chan net.Conn }

func (h *handed) Accept() (net.Conn, error) { return <-h.conns, nil }
func (h *handed) Close() error              { return nil }
func (h *handed) Addr() net.Addr            { return &net.TCPAddr{} }
