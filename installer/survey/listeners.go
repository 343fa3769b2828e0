package survey

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"

	"ipivs.com/valtctl/installer/step"
)

// The states of sockets that take what comes: TCP_LISTEN, and of UDP those that are
// connected to nobody (the kernel's net/tcp_states.h; proc_pid_net(5)).
const (
	tcpListen    = "0A"
	udpUnbound   = "07"
	maxSockets   = 8 << 20 // bytes read of one socket table
	socketFields = 10
)

// socket is one line of a socket table.
type socket struct {
	protocol string
	at       netip.AddrPort
	inode    string
}

// listeners finds who listens: the kernel's tables say where, /proc says which process,
// and the engine which container.
func (h *host) listeners(ctx context.Context) (answer, error) {
	sockets, err := h.sockets()
	if err != nil {
		return nil, err
	}
	containers, dockerErr := h.containers(ctx)
	owners, ownersErr := h.owners(ctx, sockets)
	all := make([]Listener, 0, len(sockets))
	for _, s := range sockets {
		l := Listener{Protocol: s.protocol, Address: s.at.Addr(), Port: s.at.Port(), PID: owners[s.inode]}
		if l.PID != 0 {
			l.Program = h.program(l.PID)
			l.inside(h.containerID(l.PID), containers)
		}
		all = append(all, l)
	}
	all = published(all, containers)
	return func(r *Reply) { r.Listeners = all }, errors.Join(dockerErr, ownersErr)
}

// ignored are the inodes of the sockets that do not count.
func (h *host) ignored() map[string]bool {
	own := map[string]bool{}
	if h.ignore == 0 {
		return own
	}
	fds, _ := filepath.Glob(h.Path(fmt.Sprintf("/proc/%d/fd/*", h.ignore))) // the pattern is well formed
	for _, fd := range fds {
		link, err := os.Readlink(fd)
		if inode, ok := strings.CutPrefix(link, "socket:["); err == nil && ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return own
}

// sockets reads the kernel's tables of both protocols and address families.
func (h *host) sockets() ([]socket, error) {
	var all []socket
	for _, table := range []struct{ file, protocol, state string }{
		{"tcp", "tcp", tcpListen}, {"tcp6", "tcp", tcpListen}, {"udp", "udp", udpUnbound}, {"udp6", "udp", udpUnbound},
	} {
		f, err := os.Open(h.Path("/proc/net/" + table.file))
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("reading who listens: %w", err)
		}
		text, err := io.ReadAll(io.LimitReader(f, maxSockets))
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("reading who listens: %w", err)
		}
		all = append(all, readSockets(text, table.protocol, table.state)...)
	}
	own := h.ignored()
	all = slices.DeleteFunc(all, func(s socket) bool { return own[s.inode] })
	return all, nil
}

// readSockets takes the sockets in one state from a table (proc_pid_net(5)). A line that
// is no socket's is passed over.
func readSockets(table []byte, protocol, state string) []socket {
	var all []socket
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) < socketFields || f[3] != state {
			continue
		}
		at, ok := readAddress(f[1])
		if _, remote, _ := strings.Cut(f[2], ":"); ok && strings.Trim(remote, "0") == "" {
			all = append(all, socket{protocol, at, f[9]})
		}
	}
	return all
}

// readAddress reads "0100007F:1F90": words of four bytes in the machine's order, which is
// little-endian on all that Ubuntu Server is made for but s390x, and the port in plain.
func readAddress(s string) (netip.AddrPort, bool) {
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

// owners finds the process of each socket by the links of its open files.
func (h *host) owners(ctx context.Context, sockets []socket) (map[string]int, error) {
	wanted := map[string]bool{}
	for _, s := range sockets {
		wanted["socket:["+s.inode+"]"] = true
	}
	owners := map[string]int{}
	err := h.eachFile(ctx, func(pid int, at string) {
		link, err := os.Readlink(at)
		if err == nil && wanted[link] {
			inode := strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")
			// systemd opens sockets for services: the service is the later process.
			owners[inode] = max(owners[inode], pid)
		}
	})
	return owners, err
}

// eachFile visits every open file of every process that may be looked into.
func (h *host) eachFile(ctx context.Context, visit func(pid int, at string)) error {
	entries, err := os.ReadDir(h.Path("/proc"))
	if err != nil {
		return fmt.Errorf("listing the processes: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("looking at the processes: %w", ctx.Err())
		}
		dir := h.Path(path.Join("/proc", e.Name(), "fd"))
		files, err := os.ReadDir(dir)
		if err != nil {
			continue // it has ended, or is another user's
		}
		for _, f := range files {
			visit(pid, path.Join(dir, f.Name()))
		}
	}
	return nil
}

// program is a process's command without its arguments, which may hold secrets.
func (h *host) program(pid int) string {
	name, err := h.read(path.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(name)
}

var containerInCgroup = regexp.MustCompile(`(?:docker[-/])([0-9a-f]{64})`)

// containerID is the container that a process runs in, by its cgroup's name; empty:
// none.
func (h *host) containerID(pid int) string {
	text, err := h.read(path.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return ""
	}
	if found := containerInCgroup.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	return ""
}

// inside marks a listener that is a process of a container itself.
func (l *Listener) inside(id string, containers []container.Summary) {
	for _, c := range containers {
		if id != "" && c.ID == id {
			l.Container, l.Site = containerName(c), c.Labels[step.LabelSite]
		}
	}
}

// published marks the ports that the engine publishes for containers, and adds those
// that only its translation rules know.
func published(all []Listener, containers []container.Summary) []Listener {
	for _, c := range containers {
		for _, p := range c.Ports {
			if p.PublicPort == 0 {
				continue
			}
			found := false
			for i := range all {
				if l := &all[i]; l.Protocol == p.Type && l.Port == p.PublicPort && l.Container == "" {
					l.Container, l.Site, found = containerName(c), c.Labels[step.LabelSite], true
				}
			}
			if addr, err := netip.ParseAddr(p.IP); err == nil && !found && !has(all, p.Type, p.PublicPort) {
				all = append(all, Listener{Protocol: p.Type, Address: addr, Port: p.PublicPort,
					Container: containerName(c), Site: c.Labels[step.LabelSite]})
			}
		}
	}
	return all
}

func has(all []Listener, protocol string, port uint16) bool {
	return slices.ContainsFunc(all, func(l Listener) bool { return l.Protocol == protocol && l.Port == port })
}
