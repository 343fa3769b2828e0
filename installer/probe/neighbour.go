package probe

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// silentNeighbour is the next hop to an address if it does not answer on its own network:
// the address itself, or the gateway to it. Packets then never leave, though no firewall
// is in the way.
func silentNeighbour(root string, to netip.Addr) (netip.Addr, bool) {
	silent := silentARP(procNet(root, "arp"))
	if silent[to] {
		return to, true
	}
	hop, ok := gateway(procNet(root, "route"), to)
	return hop, ok && silent[hop]
}

// procNet is a table of the kernel's. One that cannot be read is empty: what it would
// tell is then not told.
func procNet(root, name string) []string {
	content, err := os.ReadFile(filepath.Join("/", root, "proc/net", name))
	if err != nil {
		return nil
	}
	return strings.Split(string(content), "\n")
}

// silentARP are the addresses of an ARP table (arp(7), proc_pid_net(5)) that were asked
// for and did not answer: without flags.
func silentARP(table []string) map[netip.Addr]bool {
	silent := map[netip.Addr]bool{}
	for _, line := range table {
		f := strings.Fields(line)
		if len(f) < 4 || f[2] != "0x0" {
			continue
		}
		if a, err := netip.ParseAddr(f[0]); err == nil {
			silent[a] = true
		}
	}
	return silent
}

// gateway is that of the most particular route to the address (proc_pid_net(5), route);
// false if it needs none.
func gateway(table []string, to netip.Addr) (hop netip.Addr, ok bool) {
	longest := -1
	for _, line := range table {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		dest, okDest := routeAddr(f[1])
		via, okVia := routeAddr(f[2])
		mask, okMask := routeAddr(f[7])
		if !okDest || !okVia || !okMask {
			continue
		}
		bits := maskBits(mask)
		if netip.PrefixFrom(dest, bits).Contains(to) && bits > longest {
			longest, hop, ok = bits, via, !via.IsUnspecified()
		}
	}
	return hop, ok
}

// routeAddr reads an address as the kernel prints it there: a hexadecimal number of the
// machine's own byte order.
func routeAddr(s string) (netip.Addr, bool) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return netip.Addr{}, false
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b), true
}

func maskBits(mask netip.Addr) int {
	bits, b := 0, mask.As4()
	for n := binary.BigEndian.Uint32(b[:]); n&(1<<31) != 0; n <<= 1 {
		bits++
	}
	return bits
}
