package probe

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// owner is whoever listens on a port, by the socket's inode.
type owner struct{ inode string }

// listenersOf are the TCP ports that something listens on, over IPv4 or IPv6, on whatever
// address.
func listenersOf(root string) map[uint16]owner {
	taken := map[uint16]owner{}
	for _, table := range []string{"tcp", "tcp6"} {
		for _, line := range procNet(root, table) {
			if port, inode, ok := parseListener(line); ok {
				taken[port] = owner{inode}
			}
		}
	}
	return taken
}

// parseListener reads a line of /proc/net/tcp (proc_pid_net(5)): the local address and
// port in hexadecimal, the state, and the inode in the tenth field.
func parseListener(line string) (uint16, string, bool) {
	const listen = "0A"
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != listen {
		return 0, "", false
	}
	_, last, ok := strings.Cut(f[1], ":")
	b, err := hex.DecodeString(last)
	if !ok || err != nil || len(b) != 2 {
		return 0, "", false
	}
	return uint16(b[0])<<8 | uint16(b[1]), f[9], true
}

// String names the program, its first process where several share the socket.
func (o owner) String(root string) string {
	pid, ok := o.process(root)
	if !ok {
		return "a program that could not be found out"
	}
	at := filepath.Join("/", root, "proc", strconv.Itoa(pid))
	name, err := os.ReadFile(filepath.Join(at, "comm"))
	if err != nil {
		return fmt.Sprintf("a program (pid %d)", pid)
	}
	said := fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(name)), pid)
	args, err := os.ReadFile(filepath.Join(at, "cmdline"))
	if to := proxiedTo(string(args)); err == nil && to != "" {
		said += " for the container at " + to
	}
	return said
}

// process is the oldest that has the socket open.
func (o owner) process(root string) (int, bool) {
	fds, err := filepath.Glob(filepath.Join("/", root, "proc/[0-9]*/fd/*"))
	if err != nil {
		return 0, false
	}
	lowest := 0
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err != nil || to != "socket:["+o.inode+"]" {
			continue // a process that has ended meanwhile has no descriptors
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(fd))))
		if err == nil && (lowest == 0 || pid < lowest) {
			lowest = pid
		}
	}
	return lowest, lowest != 0
}

// proxiedTo is where Docker's proxy for a published port passes connections on to, by its
// arguments; empty for any other program.
func proxiedTo(cmdline string) string {
	args := strings.Split(cmdline, "\x00")
	if filepath.Base(args[0]) != "docker-proxy" {
		return ""
	}
	var address, port string
	for i := 1; i+1 < len(args); i++ {
		switch strings.TrimLeft(args[i], "-") {
		case "container-ip":
			address = args[i+1]
		case "container-port":
			port = args[i+1]
		}
	}
	return address + ":" + port
}
