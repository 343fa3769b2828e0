package remote_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/remote"
)

// link counts the round trips of a connection: how often it turned from reading to
// writing. It can be cut without either end hearing of it.
type link struct {
	net.Conn
	mu      sync.Mutex
	turns   int
	reading bool
	cut     bool
}

func (l *link) Write(b []byte) (int, error) {
	l.mu.Lock()
	if l.reading {
		l.turns++
	}
	l.reading = false
	cut := l.cut
	l.mu.Unlock()
	if cut {
		return len(b), nil
	}
	return l.Conn.Write(b)
}

func (l *link) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = true
	return n, err
}

func (l *link) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.turns
}

// over makes o dial through a link, which is valid once dialled.
func over(o *remote.Options) *link {
	l := &link{}
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		l.Conn = conn
		l.turns++ // TCP's own
		return l, err
	}
	return l
}

// TestRoundTrips: over a slow link the number of round trips is the cost.
func TestRoundTrips(t *testing.T) {
	s := startSSHD(t)
	client(t, dial(t, s.options("free")), theAgent(t)) // it is there
	o := s.options("free")
	l := over(&o)
	c := dial(t, o)
	connected := l.count()
	cl := client(t, c, theAgent(t))
	for range 2 {
		if _, err := cl.Facts(t.Context(), agent.FactsRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	all := l.count()
	t.Logf("round trips: %d to connect, %d with the agent started and two calls made", connected, all)
	if connected > 8 || all > 13 {
		t.Errorf("it took %d round trips to connect and %d in all, want at most 8 and 13", connected, all)
	}
}

// TestDeadLinkIsNoticed: a link that is cut in silence ends the calls that wait on it. What
// is patient enough with a link that lives depends on how busy the machine is.
func TestDeadLinkIsNoticed(t *testing.T) {
	s := startSSHD(t)
	var err error
	for _, every := range []time.Duration{300 * time.Millisecond, 3 * time.Second, 30 * time.Second} {
		if err = noticed(t, s, every); err == nil {
			return
		}
	}
	t.Error(err)
}

// noticed asks over a link that is cut once the agent has answered.
func noticed(t *testing.T, s *server, every time.Duration) error {
	o := s.options("free")
	o.KeepAlive = every
	l := over(&o)
	c, err := remote.Dial(t.Context(), o)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := c.StartAgent(t.Context(), theAgent(t))
	if err != nil {
		return err
	}
	cl, err := agent.NewClient(t.Context(), p, "app1", nil)
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, err := cl.Facts(t.Context(), agent.FactsRequest{}); err != nil {
		return err
	}
	l.mu.Lock()
	l.cut = true
	l.mu.Unlock()
	if _, err := cl.Facts(t.Context(), agent.FactsRequest{}); err == nil {
		t.Error("a call over a dead link was answered")
	}
	return nil
}

// TestAgentEndsWithTheConnection: nothing of it stays on the host.
func TestAgentEndsWithTheConnection(t *testing.T) {
	for _, user := range []string{"free", "asked", "root"} {
		t.Run(user, func(t *testing.T) {
			o := startSSHD(t).options(user)
			o.Password = password(loginPassword)
			l := over(&o)
			p, err := dial(t, o).StartAgent(t.Context(), theAgent(t))
			if err != nil {
				t.Fatal(err)
			}
			if running(t) == 0 {
				t.Fatal("no agent runs")
			}
			l.Conn.Close() // as a killed controller's kernel does
			io.Copy(io.Discard, p)
			for running(t) > 0 {
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
}

// BenchmarkDialAndFacts is one host of an install that changes nothing.
func BenchmarkDialAndFacts(b *testing.B) {
	s := startSSHD(b)
	a := theAgent(b)
	client(b, dial(b, s.options("free")), a)
	for b.Loop() {
		c, err := remote.Dial(b.Context(), s.options("free"))
		if err != nil {
			b.Fatal(err)
		}
		p, err := c.StartAgent(b.Context(), a)
		if err != nil {
			b.Fatal(err)
		}
		cl, err := agent.NewClient(b.Context(), p, "app1", nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := cl.Facts(b.Context(), agent.FactsRequest{}); err != nil {
			b.Fatal(err)
		}
		cl.Close()
		c.Close()
	}
}
