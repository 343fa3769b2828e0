package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// AddHost makes a further bare host. Its Address is chosen here. Adding a host that
// is there already with the same options leaves it alone.
func (l *Lab) AddHost(ctx context.Context, h Host) (Host, error) {
	added, err := l.AddHosts(ctx, h)
	return added[0], err
}

// AddHosts makes several, side by side. None may be behind another of them.
func (l *Lab) AddHosts(ctx context.Context, hosts ...Host) ([]Host, error) {
	hosts = slices.Clone(hosts)
	unlock, err := l.lock(ctx)
	if err != nil {
		return hosts, err
	}
	defer unlock()
	for i, h := range hosts {
		if hosts[i], err = l.register(h); err != nil {
			return hosts, err
		}
	}
	if err := l.roomToWatch(); err != nil {
		return hosts, err
	}
	return hosts, l.raiseAll(ctx, hosts)
}

// register gives a host its address and writes it into the lab's books.
func (l *Lab) register(h Host) (Host, error) {
	s, err := l.load()
	if err != nil {
		return h, err
	}
	h = s.Bears.host(h)
	if err := h.validate(); err != nil {
		return h, err
	}
	if h, err = l.place(s, h); err != nil {
		return h, err
	}
	s.Hosts = append(slices.DeleteFunc(s.Hosts, func(o Host) bool { return o.Name == h.Name }), h)
	for _, write := range []func() error{
		func() error { return l.save(s) },
		func() error { return l.writeNames(s) },
		func() error { return l.writeKnownHosts(s) },
		func() error { return l.writeLicence(h) },
	} {
		if err := write(); err != nil {
			return h, err
		}
	}
	return h, nil
}

// watchers is enough inotify instances for as many hosts as the network has room for:
// systemd takes eight, and the kernel gives root 128 unless told otherwise (inotify(7)).
const watchers = 2048

// roomToWatch raises the kernel's limit. It is this machine's, and stays.
func (l *Lab) roomToWatch() error {
	const limit = "/proc/sys/fs/inotify/max_user_instances"
	text, err := os.ReadFile(limit)
	if err != nil {
		return fmt.Errorf("reading the kernel's limit of inotify instances: %w", err)
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || now >= watchers {
		return err
	}
	l.Note("hosts", "raising %s to %d, so that many hosts can run side by side", limit, watchers)
	if err := os.WriteFile(limit, []byte(strconv.Itoa(watchers)), 0o644); err != nil {
		return fmt.Errorf("raising the kernel's limit of inotify instances: %w", err)
	}
	return nil
}

// place checks that the host fits into the lab and gives it an address, the one it
// had if it was there.
func (l *Lab) place(s state, h Host) (Host, error) {
	if len(s.Hosts) == 0 {
		return h, fmt.Errorf("adding host %s: the lab is not up (valtlab up)", h.Name)
	}
	if isStandard(h.Name) {
		return h, fmt.Errorf("adding host %s: that name is one of valtlab up's own", h.Name)
	}
	network := l.Subnet()
	if h.Behind != "" {
		at := slices.IndexFunc(s.Hosts, func(o Host) bool { return o.Name == h.Behind && o.Behind == "" })
		if at < 0 {
			return h, fmt.Errorf("adding host %s: there is no host %s on the lab's network to be behind of", h.Name, h.Behind)
		}
		var err error
		if network, err = l.behindSubnet(s, h.Behind); err != nil {
			return h, err
		}
	}
	used := map[netip.Addr]bool{}
	for _, o := range s.Hosts {
		if err := h.suitsBeside(o); err != nil {
			return h, fmt.Errorf("adding host %s: %w", h.Name, err)
		}
		if o.Name == h.Name && o.Behind == h.Behind {
			h.Address = o.Address
			return h, nil
		}
		used[o.Address] = true
	}
	for last := numFurther; last < 255; last++ {
		if address := withLast(network.Addr(), last); !used[address] {
			h.Address = address
			return h, nil
		}
	}
	return h, fmt.Errorf("adding host %s: no address is left on %s", h.Name, network)
}

// RemoveHosts removes hosts that AddHost made, side by side.
func (l *Lab) RemoveHosts(ctx context.Context, names ...string) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := l.load()
	if err != nil {
		return err
	}
	hosts := make([]Host, len(names))
	for i, name := range names {
		if hosts[i], err = l.removable(s, name, names); err != nil {
			return err
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, h := range hosts {
		group.Go(func() error { return l.removeHost(groupCtx, h) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.Hosts = slices.DeleteFunc(s.Hosts, func(o Host) bool { return slices.Contains(names, o.Name) })
	if err := l.save(s); err != nil {
		return err
	}
	if err := l.writeNames(s); err != nil {
		return err
	}
	return l.writeKnownHosts(s)
}

// removable is the host of that name, unless it is the lab's own or the way to one that
// is not removed with it.
func (l *Lab) removable(s state, name string, with []string) (Host, error) {
	h, err := l.Host(name)
	if err != nil {
		return h, err
	}
	if isStandard(name) {
		return h, fmt.Errorf("removing host %s: it is one of valtlab up's own", name)
	}
	for _, o := range s.Hosts {
		if o.Behind == name && !slices.Contains(with, o.Name) {
			return h, fmt.Errorf("removing host %s: %s is behind it; remove that first", name, o.Name)
		}
	}
	return h, nil
}
