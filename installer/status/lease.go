package status

import (
	"context"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/fleet"
)

// Lease is who may change a site now.
type Lease = agent.LeaseReply

// ShowLease asks the host that keeps it.
func ShowLease(ctx context.Context, o fleet.Options) (Lease, error) {
	return askLease(ctx, o, agent.LeaseRequest{Action: agent.LeaseShow})
}

// BreakLease takes it from whoever holds it.
func BreakLease(ctx context.Context, o fleet.Options, reason string) (Lease, error) {
	return askLease(ctx, o, agent.LeaseRequest{Action: agent.LeaseBreak, Who: o.Who, Reason: reason})
}

func askLease(ctx context.Context, o fleet.Options, r agent.LeaseRequest) (l Lease, err error) {
	err = fleet.With(ctx, o, fleet.LeaseHost(o.Site), func(h *fleet.Host) (err error) {
		l, err = h.AskLease(ctx, r)
		return err
	})
	return l, err
}
