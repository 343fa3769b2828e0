package installer

import (
	"context"
	"fmt"

	"ipivs.com/valtctl/installer/agent"
)

// Lease is who may change a site now.
type Lease = agent.LeaseReply

// ShowLease asks the host that keeps it.
func ShowLease(ctx context.Context, o Options) (Lease, error) {
	return askLease(ctx, o, agent.LeaseRequest{Action: agent.LeaseShow})
}

// BreakLease takes it from whoever holds it.
func BreakLease(ctx context.Context, o Options, reason string) (Lease, error) {
	return askLease(ctx, o, agent.LeaseRequest{Action: agent.LeaseBreak, Who: o.Who, Reason: reason})
}

func askLease(ctx context.Context, o Options, r agent.LeaseRequest) (l Lease, err error) {
	h := LeaseHost(o.Site)
	err = withSession(ctx, o, h, func(s *session) error {
		if l, err = s.client.Lease(ctx, r); err != nil {
			return fmt.Errorf("asking for the site's lease: %w", err)
		}
		return nil
	})
	return l, err
}
