package relay

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
	"testing"
	"time"
)

// start runs a relay in front of a server and returns the address to dial.
func start(t *testing.T, r Relay, serve func(net.Conn)) string {
	t.Helper()
	server := listen(t)
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	r.Target = server.Addr().String()
	front := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Serve(ctx, front) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
	})
	return front.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

func echo(conn net.Conn) { _, _ = io.Copy(conn, conn) }

func TestBytesArriveInOrderAndWhole(t *testing.T) {
	address := start(t, Relay{Delay: time.Millisecond}, echo)
	conn := dial(t, address)
	sent := make([]byte, 3<<20)
	if _, err := rand.Read(sent); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Fatalf("got %d bytes back that are not the %d that were sent", len(got), len(sent))
	}
}

// A round trip takes at least twice the delay. That it takes no more cannot be asserted
// on a busy machine.
func TestEachDirectionIsDelayed(t *testing.T) {
	const delay = 30 * time.Millisecond
	conn := dial(t, start(t, Relay{Delay: delay}, echo))
	answer := make([]byte, 4)
	if _, err := conn.Write([]byte("warm")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 2*delay {
		t.Fatalf("the round trip took %s, less than twice %s", took, delay)
	}
}

func TestEndOfOneDirectionLeavesTheOther(t *testing.T) {
	address := start(t, Relay{Delay: time.Millisecond}, func(conn net.Conn) {
		all, _ := io.ReadAll(conn) // until the client has nothing more to say
		_, _ = conn.Write(bytes.ToUpper(all))
	})
	conn := dial(t, address)
	if _, err := conn.Write([]byte("quiet")); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != "QUIET" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestUnreachableTargetClosesTheConnection(t *testing.T) {
	closed := listen(t)
	target := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	front := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = (Relay{Target: target}).Serve(ctx, front) }()
	if _, err := dial(t, front.Addr().String()).Read(make([]byte, 1)); err == nil {
		t.Fatal("the connection stayed open though nothing listens at the target")
	}
}
