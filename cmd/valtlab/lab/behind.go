package lab

import (
	"context"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

// bridgeName is a bridge's name on this machine: interfaces have 15 bytes at most.
func bridgeName(network string) string {
	return fmt.Sprintf("vl-%08x", crc32.ChecksumIEEE([]byte(network)))
}

// behindNetwork is the network that only the jump host leads to.
func (l *Lab) behindNetwork(jump string) string { return l.Network() + "-behind-" + jump }

// behindSubnet is the /24 after the lab's for the first jump host, and so on.
func (l *Lab) behindSubnet(s state, jump string) (netip.Prefix, error) {
	var jumps []string
	for _, h := range s.Hosts {
		if h.Behind != "" && !slices.Contains(jumps, h.Behind) {
			jumps = append(jumps, h.Behind)
		}
	}
	index := slices.Index(jumps, jump)
	if index < 0 {
		index = len(jumps)
	}
	bytes := l.Subnet().Addr().As4()
	if int(bytes[2])+index+1 > 255 {
		return netip.Prefix{}, fmt.Errorf("no subnet is left after %s for what is behind %s", l.Subnet(), jump)
	}
	bytes[2] += byte(index + 1)
	return netip.PrefixFrom(netip.AddrFrom4(bytes), 24), nil
}

// ensureBehind makes the network of a host behind another, with the jump host and
// the world on it: the latter serves DNS, packages and images there too. This machine
// gives up its own address on it, so that the jump host is the only way in.
func (l *Lab) ensureBehind(ctx context.Context, h Host) error {
	if h.Behind == "" {
		return nil
	}
	subnet := netip.PrefixFrom(h.Address, 24).Masked()
	network := l.behindNetwork(h.Behind)
	err := l.engine.EnsureNetwork(ctx, containers.Network{
		Name: network, Lab: l.Name(), Home: l.Path(), Subnet: subnet, Bridge: bridgeName(network),
	})
	if err != nil {
		return err
	}
	for name, last := range map[string]int{worldName: numWorld, h.Behind: numApp} {
		if err := l.engine.Join(ctx, network, l.Container(name), withLast(subnet.Addr(), last)); err != nil {
			return err
		}
	}
	return dropAddress(ctx, bridgeName(network))
}

func withLast(address netip.Addr, last int) netip.Addr {
	bytes := address.As4()
	bytes[3] = byte(last)
	return netip.AddrFrom4(bytes)
}
