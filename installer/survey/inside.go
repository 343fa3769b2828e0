package survey

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"ipivs.com/valtctl/installer/probe"
)

// insideWithin is how long a container's name server may take for one name.
const insideWithin = 1500 * time.Millisecond

// dialInside connects from inside the network of a process; in a test, from here.
type dialInside func(ctx context.Context, namespace, network, address string) (net.Conn, error)

// inside asks name servers as containers see them: one that runs of each network of the engine's, by its
// own resolv.conf. Those that share the host's network see what the host sees.
func (h *host) inside(ctx context.Context, names []string) (answer, error) {
	if len(names) == 0 {
		return nil, nil
	}
	running, err := h.containers(ctx)
	if err != nil {
		return nil, err
	}
	var all []Inside
	var errs []error
	seen := map[string]bool{}
	for _, c := range running {
		network := networkOf(c)
		if network == "" || seen[network] {
			continue
		}
		seen[network] = true
		one, err := h.insideOf(ctx, c, names)
		one.Network = network
		errs = append(errs, err)
		if err == nil {
			all = append(all, one)
		}
	}
	return func(r *Reply) { r.Inside = all }, errors.Join(errs...)
}

// networkOf is the container's own network; empty: the host's, another container's, or none.
func networkOf(c container.Summary) string {
	mode := c.HostConfig.NetworkMode
	if mode == "host" || mode == "none" || strings.HasPrefix(mode, "container:") || c.NetworkSettings == nil {
		return ""
	}
	var names []string
	for name := range c.NetworkSettings.Networks {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, "+")
}

func (h *host) insideOf(ctx context.Context, c container.Summary, names []string) (Inside, error) {
	one := Inside{Container: containerName(c)}
	engine, err := h.Docker()
	if err != nil {
		return one, fmt.Errorf("asking the Docker engine: %w", err)
	}
	details, err := engine.ContainerInspect(ctx, c.ID)
	if err != nil || details.State == nil || details.State.Pid == 0 {
		return one, fmt.Errorf("looking at the container %s: its process is not known (%v)", one.Container, err)
	}
	text, err := h.read(details.ResolvConfPath)
	if err != nil {
		return one, err
	}
	servers := nameservers(text)
	for _, s := range servers {
		one.Servers = append(one.Servers, s.String())
	}
	if len(servers) == 0 {
		one.Failed = []string{"its resolv.conf names no name server"}
		return one, nil
	}
	namespace := h.Path(path.Join("/proc", strconv.Itoa(details.State.Pid), "ns/net"))
	one.Failed = askInside(ctx, h.Now, h.dial, namespace, servers[0], names)
	return one, nil
}

// askInside asks for all names at once; what it returns did not resolve. One answer is enough to know that
// the way is open; what a name server says of a name is for other checks.
func askInside(ctx context.Context, now func() time.Time, dial dialInside, namespace string, server netip.Addr, names []string) []string {
	failed := make([]string, len(names))
	done := make(chan int, len(names))
	for i, name := range names {
		go func() {
			defer func() { done <- i }()
			ctx, cancel := context.WithTimeout(ctx, insideWithin)
			defer cancel()
			conn, err := dial(ctx, namespace, "udp", netip.AddrPortFrom(server, 53).String())
			if err == nil {
				err = probe.Env{Now: now}.Resolve(ctx, name, conn)
				conn.Close()
			}
			if err != nil {
				failed[i] = fmt.Sprintf("%s: %v", name, err)
			}
		}()
	}
	for range names {
		<-done
	}
	return slices.DeleteFunc(failed, func(s string) bool { return s == "" })
}

// nameservers reads resolv.conf(5).
func nameservers(text string) []netip.Addr {
	var all []netip.Addr
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}
