//go:build linux

package step

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"ipivs.com/valtctl/installer/sockets"
	"ipivs.com/valtctl/repos/testneeds"
)

// Somebody who has taken the port that the agent left is told nothing.
func TestAStrangerAtTheBundlesPortIsToldNothing(t *testing.T) {
	testneeds.Of(t, testneeds.Root)
	runtime.LockOSThread()
	if err := unix.Setfsuid(51234); err != nil {
		t.Fatal(err)
	}
	stranger, err := net.Listen("tcp4", "127.0.0.1:0")
	if back := unix.Setfsuid(os.Getuid()); back != nil || err != nil {
		t.Fatal(back, err)
	}
	runtime.UnlockOSThread()
	defer stranger.Close()
	heard := make(chan int, 1)
	go func() {
		conn, err := stranger.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		text, _ := io.ReadAll(conn)
		heard <- len(text)
	}()
	at := stranger.Addr().String()
	conn, err := DialOurs(t.Context(), "tcp", at)
	if !errors.Is(err, sockets.ErrStranger) {
		t.Errorf("connected to a stranger: %v", err)
		conn.Close()
	}
	if n := <-heard; n != 0 {
		t.Errorf("a stranger heard %d bytes", n)
	}
	if err := (Carried{Address: at}).Ours(); !errors.Is(err, sockets.ErrStranger) {
		t.Errorf("a stranger's port is ours: %v", err)
	}
	ours, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if conn, err = DialOurs(t.Context(), "tcp", ours.Addr().String()); err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
