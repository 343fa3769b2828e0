package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// freePort is one where nothing listens.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func TestAListenerNamesWhoIsThereAnswersAndLeavesNothing(t *testing.T) {
	other, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	taken, free := other.Addr().(*net.TCPAddr).AddrPort().Port(), freePort(t)
	ctx, cancel := context.WithCancel(t.Context())
	events, ended := make(chan ListenEvent, 100), make(chan error)
	go func() {
		ended <- Listen(ctx, Env{Now: time.Now}, ListenRequest{Ports: []uint16{taken, free}, Token: "t0ken"}, func(e ListenEvent) error {
			events <- e
			return nil
		})
	}()
	if s := (<-events).State; s == nil || s.Port != taken || s.Ours || !strings.Contains(s.By, fmt.Sprintf("(pid %d)", os.Getpid())) {
		t.Errorf("%+v", s)
	}
	if s := (<-events).State; s == nil || s.Port != free || !s.Ours || s.By != "" {
		t.Errorf("%+v", s)
	}
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", free))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "t0ken\n" {
		t.Errorf("%q, %v", line, err)
	}
	if a := (<-events).Arrival; a == nil || a.Port != free || a.From != conn.LocalAddr().String() {
		t.Errorf("%+v", a)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if again, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", free)); err != nil {
		t.Errorf("something is left: %v", err)
	} else {
		again.Close()
	}
}

func TestAControllerThatIsGoneEndsTheListening(t *testing.T) {
	gone := errors.New("gone")
	err := Listen(t.Context(), Env{Now: time.Now}, ListenRequest{Ports: []uint16{freePort(t)}}, func(ListenEvent) error { return gone })
	if !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

func TestDockersProxyIsNamedWithItsContainer(t *testing.T) {
	root := t.TempDir()
	write := func(path, content string) {
		full := filepath.Join(root, path)
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		if err == nil {
			err = os.WriteFile(full, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("proc/net/tcp6", "   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1\n")
	write("proc/812/comm", "docker-proxy\n")
	write("proc/812/cmdline", "/usr/bin/docker-proxy\x00-proto\x00tcp\x00-host-ip\x000.0.0.0\x00-host-port\x00443\x00-container-ip\x00172.17.0.2\x00-container-port\x008443\x00")
	if err := os.MkdirAll(filepath.Join(root, "proc/812/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[777]", filepath.Join(root, "proc/812/fd/4")); err != nil {
		t.Fatal(err)
	}
	taken, err := takenPorts(t.Context(), root)
	if got := taken[443]; err != nil || got != "docker-proxy (pid 812) for the container at 172.17.0.2:8443" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAskingEndsWithTheContextAndWithWhoeverListensToIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(Outcome) error { return errors.New("nothing is to be handed over") }
	r := Request{Specs: []Spec{{ID: "late", Ask: AskConnect, Host: "127.0.0.1", Port: 9, After: time.Hour}}}
	if err := Run(ctx, Env{Now: time.Now}, r, never); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	gone := errors.New("gone")
	r.Specs = append(r.Specs, Spec{ID: "now", Ask: AskConnect, Host: "127.0.0.1", Port: freePort(t)})
	if err := Run(t.Context(), Env{Now: time.Now}, r, func(Outcome) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}
