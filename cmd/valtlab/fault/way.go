package fault

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// OnTheWay drops what goes from one machine of the lab to another between the two, as a
// firewall of the customer's does: the one sees it leave and the other sees nothing come.
type OnTheWay struct {
	From, To netip.Addr
	Port     int // TCP's
}

// table is one of the bridge that the lab's network is.
func (o OnTheWay) table(l *lab.Lab) string {
	return "bridge valtlab_" + strings.ReplaceAll(l.Name(), "-", "_")
}

// Begin loads the rule, in place of an earlier one.
func (o OnTheWay) Begin(ctx context.Context, l *lab.Lab) error {
	table := o.table(l)
	script := fmt.Sprintf("table %s\ndelete table %s\ntable %s {\n  chain forward { type filter hook forward priority -300; policy accept;\n"+
		"    ip saddr %s ip daddr %s tcp dport %d drop\n  }\n}\n", table, table, table, o.From, o.To, o.Port)
	if err := l.OnMachine(ctx, strings.NewReader(script), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("filtering packets from %s to %s: %w", o.From, o.To, err)
	}
	return nil
}

// End removes it.
func (o OnTheWay) End(ctx context.Context, l *lab.Lab) error {
	table := o.table(l)
	if err := l.OnMachine(ctx, strings.NewReader(fmt.Sprintf("table %s\ndelete table %s\n", table, table)), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("letting packets from %s to %s through: %w", o.From, o.To, err)
	}
	return nil
}
