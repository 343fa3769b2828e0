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

// Broken is what a break of the lease came to.
type Broken struct {
	Lease               // as the host that keeps it has it now
	Hosts []fleet.Reset `json:"hosts"`
}

// BreakLease takes it from whoever holds it, and has every host of the site begin anew, whatever
// they know of former runs. Hosts that could not be told are in the error.
func BreakLease(ctx context.Context, o fleet.Options, reason string) (*Broken, error) {
	hosts, err := fleet.Break(ctx, o, reason)
	b := &Broken{Hosts: hosts}
	for _, h := range hosts {
		if h.Host == fleet.LeaseHost(o.Site).Name {
			b.Lease = h.Lease
		}
	}
	return b, err
}

func askLease(ctx context.Context, o fleet.Options, r agent.LeaseRequest) (l Lease, err error) {
	err = fleet.With(ctx, o, fleet.LeaseHost(o.Site), func(h *fleet.Host) (err error) {
		l, err = h.AskLease(ctx, r)
		return err
	})
	return l, err
}
