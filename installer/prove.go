package installer

import (
	"context"
	"time"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/step"
)

// How long and how often a new connection is tried before the new firewall is refused.
const (
	proveFor   = 12 * time.Second
	proveEvery = time.Second
)

// prove confirms a host's new firewall over a connection of its own, which shows that
// one can still be opened. If none can, the host is told over the connection that it is
// followed on, s, so that it need not wait and can say why.
func (f *following) prove(ctx context.Context, s *session, nonce string) {
	trying, cancel := context.WithTimeout(ctx, proveFor)
	defer cancel()
	err := f.proveOnce(trying, nonce)
	for err != nil && pause(trying, proveEvery) == nil {
		if again := f.proveOnce(trying, nonce); again == nil || trying.Err() == nil {
			err = again // what the end of time cut off says less than the try before
		}
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	// If this fails too the host puts its firewall back by itself, later.
	_ = s.client.ConfirmFirewall(ctx, step.FirewallAnswer{Nonce: nonce, Refused: oneLine(err)})
}

func (f *following) proveOnce(ctx context.Context, nonce string) error {
	s, err := f.Connect.open(ctx, f.hosts[f.host], event.Silent{})
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }() // it has served
	return s.client.ConfirmFirewall(ctx, step.FirewallAnswer{Nonce: nonce})
}

// pause waits; an error means that ctx ended first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
