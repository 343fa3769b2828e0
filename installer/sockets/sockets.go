// Package sockets tells who listens on the machine it runs on, from the kernel's tables
// and the open files of processes. The survey of a host and the listeners of a check both
// need it, and must not come to different answers. It knows no containers and no site.
package sockets

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The states of sockets that take what comes: TCP_LISTEN, and of UDP those that are
// connected to nobody (the kernel's net/tcp_states.h; proc_pid_net(5)).
const (
	tcpListen  = "0A"
	udpUnbound = "07"
	maxTable   = 8 << 20 // bytes read of one socket table
	fields     = 10
	maxName    = 256 // bytes; the kernel's names have 16
)

// Socket is one line of a socket table.
type Socket struct {
	Protocol string         // tcp, udp
	At       netip.AddrPort // what it is bound to
	Inode    string
	UID      int // of the user that made it; -1 where the kernel does not say
}

// Listening reads the kernel's tables of both protocols and address families. Root is put
// before every path; empty on a real machine.
func Listening(root string) ([]Socket, error) {
	var all []Socket
	for _, table := range []struct{ file, protocol, state string }{
		{"tcp", "tcp", tcpListen}, {"tcp6", "tcp", tcpListen}, {"udp", "udp", udpUnbound}, {"udp6", "udp", udpUnbound},
	} {
		f, err := os.Open(root + "/proc/net/" + table.file)
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("reading who listens: %w", err)
		}
		text, err := io.ReadAll(io.LimitReader(f, maxTable))
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("reading who listens: %w", err)
		}
		all = append(all, parse(text, table.protocol, table.state)...)
	}
	return all, nil
}

// parse takes the sockets in one state from a table (proc_pid_net(5)). A line that is no
// socket's is passed over.
func parse(table []byte, protocol, state string) []Socket {
	var all []Socket
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) < fields || f[3] != state {
			continue
		}
		at, ok := ParseAddress(f[1])
		if _, remote, _ := strings.Cut(f[2], ":"); ok && strings.Trim(remote, "0") == "" {
			uid, err := strconv.Atoi(f[7])
			if err != nil {
				uid = -1
			}
			all = append(all, Socket{protocol, at, f[9], uid})
		}
	}
	return all
}

// ErrStranger says that somebody else may answer at an address of this machine.
var ErrStranger = errors.New("another user of this machine listens there")

// Held says whether whoever takes TCP connections to an address of this machine's is of one
// user. Nobody who listens there is fs.ErrNotExist; another user, also one who would be next, is ErrStranger.
func Held(root string, at netip.AddrPort, uid int) error {
	all, err := Listening(root)
	if err != nil {
		return err
	}
	held := false
	for _, s := range all {
		if s.Protocol != "tcp" || s.At.Port() != at.Port() || s.At.Addr() != at.Addr() && !s.At.Addr().IsUnspecified() {
			continue
		}
		if s.UID != uid {
			return fmt.Errorf("%s: %w", at, ErrStranger)
		}
		held = true
	}
	if !held {
		return fmt.Errorf("%s: nobody listens there: %w", at, os.ErrNotExist)
	}
	return nil
}

// ParseAddress reads "0100007F:1F90", as the kernel's tables have addresses: words of four bytes in the machine's order, which is
// little-endian on all that Ubuntu Server is made for but s390x, and the port in plain.
func ParseAddress(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok
}

// Owners finds the process of each socket, by inode, through the links of open files.
// Those of other users are not found without the right to look.
func Owners(ctx context.Context, root string, sockets []Socket) (map[string]int, error) {
	wanted := map[string]bool{}
	for _, s := range sockets {
		wanted[s.Inode] = true
	}
	entries, err := os.ReadDir(root + "/proc")
	if err != nil {
		return nil, fmt.Errorf("listing the processes: %w", err)
	}
	owners := map[string]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ctx.Err() != nil {
			return owners, fmt.Errorf("looking at the processes: %w", ctx.Err())
		}
		for inode := range Of(root, pid) {
			if wanted[inode] {
				// systemd opens sockets for services: the service is the later process.
				owners[inode] = max(owners[inode], pid)
			}
		}
	}
	return owners, nil
}

// Of are the inodes of a process's own sockets; none where it has ended or is another
// user's.
func Of(root string, pid int) map[string]bool {
	own := map[string]bool{}
	fds, _ := filepath.Glob(fmt.Sprintf("%s/proc/%d/fd/*", root, pid)) // the pattern is well formed
	for _, fd := range fds {
		link, err := os.Readlink(fd)
		if inode, ok := strings.CutPrefix(link, "socket:["); err == nil && ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return own
}

// Program is a process's command without its arguments, which may hold secrets; empty if
// it has ended.
func Program(root string, pid int) string {
	f, err := os.Open(fmt.Sprintf("%s/proc/%d/comm", root, pid))
	if err != nil {
		return ""
	}
	defer f.Close()
	name, err := io.ReadAll(io.LimitReader(f, maxName))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}
