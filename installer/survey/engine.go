package survey

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/sockets"
	"ipivs.com/valtctl/installer/step/docker"
)

// containers lists what runs in the engine; none where there is no engine.
func (h *host) containers(ctx context.Context) ([]container.Summary, error) {
	engine, err := h.Docker()
	if err != nil {
		return nil, fmt.Errorf("asking the Docker engine: %w", err)
	}
	list, err := engine.ContainerList(ctx, container.ListOptions{})
	return list, missingIsNone(err)
}

// missingIsNone keeps quiet about an engine that is not there.
func missingIsNone(err error) error {
	if err == nil || client.IsErrConnectionFailed(err) {
		return nil
	}
	return fmt.Errorf("asking the Docker engine: %w", err)
}

func containerName(c container.Summary) string {
	for _, n := range c.Names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") { // links have two names
			return n
		}
	}
	return c.ID
}

// images lists the digests by which the engine's images can be told (docker.Held).
func (h *host) images(ctx context.Context) (answer, error) {
	engine, err := h.Docker()
	if err != nil {
		return nil, fmt.Errorf("asking the Docker engine: %w", err)
	}
	ids, err := docker.Held(ctx, h.Machine, engine)
	if err := missingIsNone(err); err != nil {
		return nil, err
	}
	return func(r *Reply) { r.Images = ids }, nil
}

// networks are the engine's own, whether or not a container uses them.
func (h *host) networks(ctx context.Context) (answer, error) {
	engine, err := h.Docker()
	if err != nil {
		return nil, fmt.Errorf("asking the Docker engine: %w", err)
	}
	list, err := engine.NetworkList(ctx, network.ListOptions{})
	if err := missingIsNone(err); err != nil {
		return nil, err
	}
	var all []Subnet
	for _, n := range list {
		for _, c := range n.IPAM.Config {
			if p, err := netip.ParsePrefix(c.Subnet); err == nil {
				all = append(all, Subnet{Prefix: p.Masked(), Docker: n.Name, Site: n.Labels[docker.LabelSite]})
			}
		}
	}
	return func(r *Reply) { r.Subnets = append(r.Subnets, all...) }, nil
}

// routes are the main table's, without the default ones. Those of Docker's bridges stand
// there too, under the bridge's name.
func (h *host) routes(context.Context) (answer, error) {
	table, err := h.read("/proc/net/route")
	if err != nil {
		return nil, err
	}
	all := readRoutes(table)
	return func(r *Reply) { r.Subnets = append(r.Subnets, all...) }, nil
}

// The flags of a route that is in use (linux/route.h).
const routeUp = 1

// readRoutes reads /proc/net/route: interface, destination, gateway, flags, three counts
// and the mask, addresses as words in the machine's order.
func readRoutes(table string) []Subnet {
	var all []Subnet
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		to, ok := sockets.ParseAddress(f[1] + ":0")
		mask, maskOK := sockets.ParseAddress(f[7] + ":0")
		flags, err := strconv.ParseUint(f[3], 16, 16)
		if !ok || !maskOK || err != nil || flags&routeUp == 0 {
			continue
		}
		bits := ones(mask.Addr())
		if p, err := to.Addr().Prefix(bits); err == nil && bits > 0 {
			all = append(all, Subnet{Prefix: p, Interface: f[0]})
		}
	}
	return all
}

// ones counts the leading ones of a mask.
func ones(mask netip.Addr) int {
	n := 0
	for _, b := range mask.AsSlice() {
		for ; b&0x80 != 0; b <<= 1 {
			n++
		}
	}
	return n
}
