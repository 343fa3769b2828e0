package fault

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// What happens to the packets that a Packets fault matches.
const (
	Drop   = "drop"   // nothing comes back
	Reject = "reject" // TCP is reset, the rest answered with ICMP port unreachable
)

// table is the fault's own nftables table, by which it is found again.
const table = "valtlab_fault"

// Packets drops or rejects some of a host's traffic in its own network. Empty
// fields match everything: a Packets with a Host and Drop alone cuts the host off, SSH
// included.
type Packets struct {
	Host    string
	Verdict string
	From    netip.Prefix // traffic that comes from here
	To      netip.Prefix // traffic that goes to here
	Port    int          // destination port
	Proto   string       // tcp or udp; empty: both, or all without a port
}

// rules is the fault as an nftables script. A direction that was asked for alone
// leaves the other one be.
func (p Packets) rules() (string, error) {
	if p.Verdict != Drop && p.Verdict != Reject {
		return "", fmt.Errorf("verdict %q: use %s or %s", p.Verdict, Drop, Reject)
	}
	if p.Proto != "" && p.Proto != "tcp" && p.Proto != "udp" {
		return "", fmt.Errorf("protocol %q: use tcp or udp", p.Proto)
	}
	if p.Port < 0 || p.Port > 65535 {
		return "", fmt.Errorf("port %d: use 1 to 65535", p.Port)
	}
	var script strings.Builder
	fmt.Fprintf(&script, "table inet %s\ndelete table inet %s\ntable inet %s {\n", table, table, table)
	for _, hook := range []struct{ name, loopback string }{{"input", "iif"}, {"output", "oif"}, {"forward", "iif"}} {
		fmt.Fprintf(&script, "  chain %s { type filter hook %s priority -300; policy accept;\n    %s lo accept\n", hook.name, hook.name, hook.loopback)
		for _, match := range p.matches() {
			for _, verdict := range p.verdicts() {
				fmt.Fprintf(&script, "    %s\n", strings.Join(strings.Fields(match+" "+verdict), " "))
			}
		}
		script.WriteString("  }\n")
	}
	script.WriteString("}\n")
	return script.String(), nil
}

// matches are the left sides of the rules.
func (p Packets) matches() []string {
	var words []string
	if p.From.IsValid() {
		words = append(words, "ip saddr "+p.From.String())
	}
	if p.To.IsValid() {
		words = append(words, "ip daddr "+p.To.String())
	}
	switch {
	case p.Port != 0 && p.Proto != "":
		words = append(words, fmt.Sprintf("%s dport %d", p.Proto, p.Port))
	case p.Port != 0:
		words = append(words, fmt.Sprintf("meta l4proto { tcp, udp } th dport %d", p.Port))
	case p.Proto != "":
		words = append(words, "meta l4proto "+p.Proto)
	}
	return []string{strings.Join(words, " ")}
}

// verdicts are the right sides: a reset answers TCP alone.
func (p Packets) verdicts() []string {
	if p.Verdict == Drop {
		return []string{"drop"}
	}
	return []string{"meta l4proto tcp reject with tcp reset", "reject with icmpx type port-unreachable"}
}

// Begin loads the rules.
func (p Packets) Begin(ctx context.Context, l *lab.Lab) error {
	script, err := p.rules()
	if err != nil {
		return err
	}
	if err := l.InNetwork(ctx, p.Host, strings.NewReader(script), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("filtering packets of %s: %w", p.Host, err)
	}
	return nil
}

// End removes them.
func (p Packets) End(ctx context.Context, l *lab.Lab) error {
	script := fmt.Sprintf("table inet %s\ndelete table inet %s\n", table, table)
	if err := l.InNetwork(ctx, p.Host, strings.NewReader(script), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("letting packets of %s through: %w", p.Host, err)
	}
	return nil
}
