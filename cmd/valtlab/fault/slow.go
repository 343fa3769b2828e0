package fault

import (
	"context"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// Slow limits what a host sends, by a token bucket (tc-tbf(8)). What it receives is
// limited where it is sent: make the world slow for downloads. There is no delay here:
// that is the relay's.
type Slow struct {
	Host string
	Rate string // as tc writes it: "1mbit", "256kbit"
}

// Begin sets the limit.
func (s Slow) Begin(ctx context.Context, l *lab.Lab) error {
	err := l.InNetwork(ctx, s.Host, nil, "tc", "qdisc", "replace", "dev", "eth0", "root",
		"tbf", "rate", s.Rate, "burst", "32kbit", "latency", "400ms")
	if err != nil {
		return fmt.Errorf("slowing %s down to %s: %w", s.Host, s.Rate, err)
	}
	return nil
}

// End takes the limit away.
func (s Slow) End(ctx context.Context, l *lab.Lab) error {
	err := l.InNetwork(ctx, s.Host, nil, "tc", "qdisc", "delete", "dev", "eth0", "root")
	if err != nil && !strings.Contains(err.Error(), "handle of zero") { // tc's words for: there is none
		return fmt.Errorf("letting %s go at full speed: %w", s.Host, err)
	}
	return nil
}
