package fault

import (
	"context"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// Rules filter a machine's traffic by rules of nft(8) as they are, where Packets is too
// coarse. They take the place of other packet faults of the machine.
type Rules struct {
	Host   string
	Input  []string // "tcp dport 444 drop", on what comes in
	Output []string // on what goes out
}

// script replaces the fault's table. Loopback is left alone.
func (r Rules) script() string {
	var script strings.Builder
	fmt.Fprintf(&script, "table inet %s\ndelete table inet %s\ntable inet %s {\n", table, table, table)
	for _, chain := range []struct {
		hook, loopback string
		rules          []string
	}{{"input", "iif", r.Input}, {"output", "oif", r.Output}} {
		fmt.Fprintf(&script, "  chain %s { type filter hook %s priority -300; policy accept;\n    %s lo accept\n", chain.hook, chain.hook, chain.loopback)
		for _, rule := range chain.rules {
			fmt.Fprintf(&script, "    %s\n", rule)
		}
		script.WriteString("  }\n")
	}
	script.WriteString("}\n")
	return script.String()
}

// Begin loads the rules.
func (r Rules) Begin(ctx context.Context, l *lab.Lab) error {
	if err := l.InNetwork(ctx, r.Host, strings.NewReader(r.script()), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("filtering packets of %s: %w", r.Host, err)
	}
	return nil
}

// End removes them.
func (r Rules) End(ctx context.Context, l *lab.Lab) error { return Packets{Host: r.Host}.End(ctx, l) }
