package drain

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ipivs.com/valtctl/installer/step/nft"
)

// table is the gate's own, beside Docker's and the managed firewall's.
const table nft.Table = "inet valtctl_drain"

// rules is the closed gate as nft -f reads it (nft(8)). Its chain is before Docker's translation
// of published ports, so it sees the ports that clients type, of containers' connections
// too. A new connection is known by its first packet and not by connection tracking: where
// that was not at work before, a running session would look new to it. A reset tells whoever holds a control connection
// at once that it is over (reject in prerouting: Linux 5.9). Loopback stays open: this
// host asks its own engine there.
func (p Params) rules() string { return p.ruleset(true) }

// waiting is the gate while recordings are waited for: no new sessions, but whoever drives
// the recordings must still be able to end them.
func (p Params) waiting() string { return p.ruleset(false) }

func (p Params) ruleset(control bool) string {
	var b strings.Builder
	// Adding and deleting first makes loading it again the same as loading it.
	fmt.Fprintf(&b, "# Written by valtctl while this host is drained: it takes no new sessions.\n")
	fmt.Fprintf(&b, "table %s\ndelete table %s\ntable %s {\n\tchain gate {\n", table, table, table)
	fmt.Fprintf(&b, "\t\ttype filter hook prerouting priority -160; policy accept;\n\t\tiifname \"lo\" accept\n")
	if control && len(p.ControlPorts) > 0 {
		fmt.Fprintf(&b, "\t\ttcp dport %s reject with tcp reset\n", ports(p.ControlPorts))
	}
	if len(p.From) > 0 {
		fmt.Fprintf(&b, "\t\tip saddr { %s } accept\n", strings.Join(p.From, ", "))
	}
	if len(p.SessionPorts) > 0 {
		fmt.Fprintf(&b, "\t\ttcp dport %s tcp flags & (fin | syn | rst | ack) == syn reject with tcp reset\n", ports(p.SessionPorts))
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}

func ports(all []int) string {
	var words []string
	for _, p := range slices.Compact(slices.Sorted(slices.Values(all))) {
		words = append(words, strconv.Itoa(p))
	}
	return "{ " + strings.Join(words, ", ") + " }"
}

// check refuses parameters that make no rules: what is in them comes over the wire.
func (p Params) check() error {
	for _, port := range slices.Concat(p.ControlPorts, p.SessionPorts) {
		if port < 1 || port > 65535 {
			return fmt.Errorf("reading the drain's parameters: %d is no port", port)
		}
	}
	for _, from := range p.From {
		if a, err := netip.ParseAddr(from); err != nil || !a.Is4() {
			return fmt.Errorf("reading the drain's parameters: %q is no IPv4 address", from)
		}
	}
	if len(p.ControlPorts)+len(p.SessionPorts) == 0 {
		return fmt.Errorf("reading the drain's parameters: there is no port to close")
	}
	return nil
}
