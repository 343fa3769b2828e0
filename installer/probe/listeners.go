package probe

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ipivs.com/valtctl/installer/sockets"
)

// takenPorts are the TCP ports that something listens on, over IPv4 or IPv6, on whatever
// address, and by which program.
func takenPorts(ctx context.Context, root string) (map[uint16]string, error) {
	open, err := sockets.Listening(root)
	if err != nil {
		return nil, err
	}
	owners, _ := sockets.Owners(ctx, root, open) // without it a port is taken all the same
	taken := map[uint16]string{}
	for _, s := range open {
		if s.Protocol == "tcp" && (taken[s.At.Port()] == "" || owners[s.Inode] != 0) {
			taken[s.At.Port()] = programText(root, owners[s.Inode])
		}
	}
	return taken, nil
}

// programText names a process for people.
func programText(root string, pid int) string {
	name := sockets.Program(root, pid)
	switch {
	case pid == 0:
		return "a program that could not be found out"
	case name == "":
		return fmt.Sprintf("a program (pid %d)", pid)
	}
	said := fmt.Sprintf("%s (pid %d)", name, pid)
	args, err := os.ReadFile(fmt.Sprintf("%s/proc/%d/cmdline", root, pid))
	if to := proxiedTo(string(args)); err == nil && to != "" {
		said += " for the container at " + to
	}
	return said
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
