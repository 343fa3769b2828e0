package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/vendorsim"
)

// kindPeer is a container that a scenario brings: a server, cameras, a scanner.
const kindPeer = "peer"

// Peer is a container on the lab's network beside what up makes.
type Peer struct {
	Name    string
	Image   string
	Command []string // empty: what the image says
	Machine bool     // systemd
	Files   []containers.File
	// Addresses are all of its own, the first one the engine's. Free finds some. A machine
	// that restarts has the first one alone.
	Addresses []netip.Addr
	// Ready is asked until it is nil, for a minute and a half at most. Nil: at once.
	Ready func(context.Context) error
	// Inside puts it into the network of a host instead, which then is as one that the
	// programs of the peer run on. Addresses must be empty.
	Inside string
}

// StartPeer makes the container, in place of one of the same name, and waits until it is
// ready.
func (l *Lab) StartPeer(ctx context.Context, p Peer) error {
	spec := containers.Spec{
		Name: l.Container(p.Name), Hostname: p.Name, Lab: l.Name(), Kind: kindPeer, Image: p.Image,
		Command: p.Command, Network: l.Network(), Machine: p.Machine,
		Binds: []containers.Bind{{Source: l.Path("hosts", "resolv.conf"), Target: "/etc/resolv.conf", ReadOnly: true}},
	}
	if p.Machine {
		tree, err := groupTree(false)
		if err != nil {
			return err
		}
		spec.Unified = tree
	}
	if p.Inside != "" {
		spec.Network, spec.Hostname = "container:"+l.Container(p.Inside), ""
	} else {
		spec.Address = p.Addresses[0]
	}
	if err := l.engine.Run(ctx, spec, p.Files...); err != nil {
		return err
	}
	if len(p.Addresses) > 1 {
		if err := l.AddAddresses(ctx, p.Name, p.Addresses[1:]...); err != nil {
			return err
		}
	}
	if p.Ready == nil {
		return nil
	}
	return l.await(ctx, p.Name, p.Ready)
}

// RemovePeer removes it; one that is not there is no error.
func (l *Lab) RemovePeer(ctx context.Context, name string) error {
	return l.engine.Remove(ctx, l.Container(name))
}

// AddAddresses gives a container further addresses of the lab's network, until it is
// restarted.
func (l *Lab) AddAddresses(ctx context.Context, name string, addresses ...netip.Addr) error {
	return l.changeAddresses(ctx, "add", name, addresses)
}

// RemoveAddresses takes them again.
func (l *Lab) RemoveAddresses(ctx context.Context, name string, addresses ...netip.Addr) error {
	return l.changeAddresses(ctx, "delete", name, addresses)
}

func (l *Lab) changeAddresses(ctx context.Context, verb, name string, addresses []netip.Addr) error {
	var batch strings.Builder
	for _, a := range addresses {
		fmt.Fprintf(&batch, "address %s %s/%d dev eth0\n", verb, a, l.Subnet().Bits())
	}
	return l.InNetwork(ctx, name, strings.NewReader(batch.String()), "ip", "-batch", "-")
}

// Free are so many addresses of the lab's network that nothing of the lab has, from the
// last one down. They are free until the next who asks.
func (l *Lab) Free(ctx context.Context, n int) ([]netip.Addr, error) {
	s, err := l.load()
	if err != nil {
		return nil, err
	}
	taken := []netip.Addr{l.Controller(), l.World(), l.Client()}
	for _, h := range s.Hosts {
		taken = append(taken, h.Address)
	}
	for i := range s.Cameras {
		taken = append(taken, l.Camera(i+1))
	}
	there, err := l.engine.List(ctx, l.Name())
	if err != nil {
		return nil, err
	}
	for _, c := range there {
		taken = append(taken, c.Address)
	}
	return l.without(taken, n)
}

// without are the last n addresses of the network that are not taken.
func (l *Lab) without(taken []netip.Addr, n int) ([]netip.Addr, error) {
	var free []netip.Addr
	for last := 254; last > 0 && len(free) < n; last-- {
		if a := l.Address(last); !slices.Contains(taken, a) {
			free = append(free, a)
		}
	}
	if len(free) < n {
		return nil, fmt.Errorf("finding %d free addresses on %s: there are %d", n, l.Subnet(), len(free))
	}
	return free, nil
}

// SayNames puts names into the world's DNS under a title, in place of those it has under
// it. Without names the title's are gone.
func (l *Lab) SayNames(title string, names map[string]netip.Addr) error {
	return writeFile(l.Path("world", "hosts.d", title), vendorsim.HostsFile(names), 0o644)
}

// CameraImage is the image that the lab's cameras run.
func (l *Lab) CameraImage(ctx context.Context) (string, error) {
	there, err := l.engine.List(ctx, l.Name())
	if err != nil {
		return "", err
	}
	for _, c := range there {
		if c.Kind == KindCamera {
			return c.Image, nil
		}
	}
	return "", fmt.Errorf("looking for the image of the cameras: the lab has none (valtlab up --cameras 1)")
}

// WorldImage is the image that the world and the client run.
func (l *Lab) WorldImage(ctx context.Context) (string, error) {
	return l.Image(ctx, vendorsim.Recipe())
}
