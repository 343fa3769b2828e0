package survey

import (
	"context"
	"errors"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"

	"github.com/docker/docker/api/types/container"

	"ipivs.com/valtctl/installer/sockets"
	"ipivs.com/valtctl/installer/step/docker"
)

// listeners finds who listens: the kernel's tables say where, /proc says which process,
// and the engine which container.
func (h *host) listeners(ctx context.Context) (answer, error) {
	open, err := h.sockets()
	if err != nil {
		return nil, err
	}
	containers, dockerErr := h.containers(ctx)
	owners, ownersErr := sockets.Owners(ctx, h.Root, open)
	all := make([]Listener, 0, len(open))
	for _, s := range open {
		l := Listener{Protocol: s.Protocol, Address: s.At.Addr(), Port: s.At.Port(), PID: owners[s.Inode]}
		if l.PID != 0 {
			l.Program = sockets.Program(h.Root, l.PID)
			l.inside(h.containerID(l.PID), containers)
		}
		all = append(all, l)
	}
	all = published(all, containers)
	return func(r *Reply) { r.Listeners = all }, errors.Join(dockerErr, ownersErr)
}

// sockets are the listening ones, but those of the process that does not count.
func (h *host) sockets() ([]sockets.Socket, error) {
	open, err := sockets.Listening(h.Root)
	if err != nil || h.ignore == 0 {
		return open, err
	}
	ignored := sockets.Of(h.Root, h.ignore)
	return slices.DeleteFunc(open, func(s sockets.Socket) bool { return ignored[s.Inode] }), nil
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
			l.Container, l.Site = containerName(c), c.Labels[docker.LabelSite]
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
					l.Container, l.Site, found = containerName(c), c.Labels[docker.LabelSite], true
				}
			}
			if addr, err := netip.ParseAddr(p.IP); err == nil && !found && !has(all, p.Type, p.PublicPort) {
				all = append(all, Listener{Protocol: p.Type, Address: addr, Port: p.PublicPort,
					Container: containerName(c), Site: c.Labels[docker.LabelSite]})
			}
		}
	}
	return all
}

func has(all []Listener, protocol string, port uint16) bool {
	return slices.ContainsFunc(all, func(l Listener) bool { return l.Protocol == protocol && l.Port == port })
}
