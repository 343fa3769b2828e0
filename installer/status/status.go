// Package status asks a site what it is now: what its hosts have, what they did, who may
// change the site, and what a person must do about it. It plans nothing and changes nothing
// but a lease that a person breaks.
package status

import (
	"context"
	"io"
	"slices"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/release"
)

// Host is one host's answer. Err is set where it gave none.
type Host struct {
	Host         string        `json:"host"`
	Facts        facts.Facts   `json:"facts"`
	Transactions []txn.Summary `json:"transactions,omitempty"` // newest first
	// Schedule is what it has written down of unattended runs; nil: nothing.
	Schedule *agent.Schedule `json:"schedule,omitempty"`
	// KeyUse is what was done and tried there with the key of unattended runs; nil: nothing.
	KeyUse *keyuse.Record `json:"key_use,omitempty"`
	Err    error          `json:"-"`
	// Seen is what the host has seen of the release repository.
	Seen release.State `json:"-"`
	// Attended says that a run holds the site's lease: what the host is at, it looks after.
	Attended bool `json:"-"`
}

// Current is the transaction that says what the host is at (txn.Current).
func (h Host) Current() *txn.Summary { return txn.Current(h.Transactions) }

// Site is every host's answer, and who may change the site.
type Site struct {
	Hosts []Host
	Lease *Lease // nil: the host that keeps it gave no answer
}

// Gather asks every host for its facts, with full for those that take longer. A host that
// cannot be asked is in the list with its error, and in the joined error too.
func Gather(ctx context.Context, o fleet.Options, full bool) ([]Host, error) {
	hosts, err := o.Chosen()
	if err != nil {
		return nil, err
	}
	all := make([]Host, len(hosts))
	return all, fleet.Each(indices(hosts), func(i int) error {
		all[i] = ask(ctx, o, hosts[i], full, nil)
		return all[i].Err
	})
}

// Look asks every host for its facts, over one connection each, and the one that keeps
// the site's lease for that too. Errors are as Gather's.
func Look(ctx context.Context, o fleet.Options) (*Site, error) {
	hosts, err := o.Chosen()
	if err != nil {
		return nil, err
	}
	found := &Site{Hosts: make([]Host, len(hosts))}
	keeper, asked := fleet.LeaseHost(o.Site), hosts
	if !slices.ContainsFunc(hosts, func(h site.Host) bool { return h.Name == keeper.Name }) {
		asked = append(slices.Clone(hosts), keeper)
	}
	err = fleet.Each(indices(asked), func(i int) error {
		var more func(*fleet.Host) error
		if asked[i].Name == keeper.Name {
			more = func(h *fleet.Host) error { return found.askLease(ctx, h) }
		}
		h := ask(ctx, o, asked[i], false, more)
		if i < len(hosts) {
			found.Hosts[i] = h
		}
		return h.Err
	})
	found.attend()
	return found, err
}

// indices are the places of all.
func indices[T any](all []T) []int {
	at := make([]int, len(all))
	for i := range at {
		at[i] = i
	}
	return at
}

// attend notes with each host whether a run looks after it.
func (s *Site) attend() {
	for i := range s.Hosts {
		s.Hosts[i].Attended = s.Lease != nil && s.Lease.Run != ""
	}
}

func (s *Site) askLease(ctx context.Context, h *fleet.Host) error {
	l, err := h.AskLease(ctx, agent.LeaseRequest{Action: agent.LeaseShow})
	if err == nil {
		s.Lease = &l
	}
	return err
}

// ask asks one host, and with more something else over the same connection.
func ask(ctx context.Context, o fleet.Options, host site.Host, full bool, more func(*fleet.Host) error) Host {
	h := Host{Host: host.Name}
	h.Err = fleet.With(ctx, o, host, func(host *fleet.Host) error {
		reply, err := host.AskFacts(ctx, full)
		if err != nil {
			return err
		}
		h.took(reply)
		if more == nil {
			return nil
		}
		return more(host)
	})
	return h
}

// took keeps what a host says it is.
func (h *Host) took(reply agent.FactsReply) {
	h.Facts, h.Transactions, h.Schedule, h.KeyUse = reply.Facts, reply.Transactions, reply.Schedule, reply.KeyUse
	if reply.TrustedState != nil {
		h.Seen = *reply.TrustedState
	}
}

// Logs copies logs of every host to what out gives for it, until they end or ctx does.
func Logs(ctx context.Context, o fleet.Options, r agent.LogsRequest, out func(host string) io.Writer) error {
	hosts, err := o.Chosen()
	if err != nil {
		return err
	}
	return fleet.Each(hosts, func(h site.Host) error {
		return fleet.With(ctx, o, h, func(h *fleet.Host) error {
			err := h.Logs(ctx, r, out(h.Name))
			if r.Follow && ctx.Err() != nil {
				return nil // a person stopped following
			}
			return err
		})
	})
}
