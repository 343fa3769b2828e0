//go:build linux

package sockets

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"ipivs.com/valtctl/repos/testneeds"
)

// listenAs listens as another user: who makes a socket is who its thread is (setfsuid(2)).
func listenAs(t *testing.T, uid int, at string) net.Listener {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(uid); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", at)
	if back := unix.Setfsuid(os.Getuid()); back != nil || err != nil {
		t.Fatal(back, err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestAPortOfAnotherUsersIsNotHeld(t *testing.T) {
	testneeds.Of(t, testneeds.Root)
	const stranger = 51234
	ours, theirs := listenAs(t, os.Getuid(), "127.0.0.1:0"), listenAs(t, stranger, "127.0.0.1:0")
	everywhere := listenAs(t, stranger, "0.0.0.0:0")
	loopback := func(l net.Listener) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(l.Addr().(*net.TCPAddr).Port))
	}
	if err := Held("", loopback(ours), os.Getuid()); err != nil {
		t.Errorf("our own: %v", err)
	}
	for what, l := range map[string]net.Listener{"another user's": theirs, "another user's at every address": everywhere} {
		if err := Held("", loopback(l), os.Getuid()); !errors.Is(err, ErrStranger) {
			t.Errorf("%s: %v", what, err)
		}
	}
	free := loopback(ours)
	ours.Close()
	if err := Held("", free, os.Getuid()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nobody's: %v", err)
	}
}
