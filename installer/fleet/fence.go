package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/lease"
	"ipivs.com/valtctl/repos/problem"
)

// seen is the highest token that a host has seen; 0: none.
type seen struct {
	host  string
	token int64
}

// highest is the highest token of any host that can be asked, keeper's among them. Hosts that
// differ by more than a site's own doing are named: a token that one of them takes another
// refuses, and it would be the person who is to say which.
func (f *Fleet) highest(keeper seen) (int64, error) {
	all := []seen{keeper}
	for _, h := range f.Whole() {
		if h.Connected() && h.Name != keeper.host {
			all = append(all, seen{h.Name, h.Facts().Fence})
		}
		if h.Name == keeper.host {
			all[0].token = max(all[0].token, h.Facts().Fence)
		}
	}
	var top int64
	for _, s := range all {
		top = max(top, s.token)
	}
	var told []string
	differ := false
	for _, s := range all {
		if s.token > 0 {
			told = append(told, fmt.Sprintf("%s %d", s.host, s.token))
			differ = differ || lease.Far(s.token, top)
		}
	}
	if !differ {
		return top, nil
	}
	return 0, &problem.Error{Kind: problem.Failed, Doing: "taking the lease of site", Object: f.Options.Site.ID,
		Err: fmt.Errorf("its hosts differ in which of its runs they have seen, by more than %d: %s", lease.Jump, strings.Join(told, ", ")),
		Fix: "a host was restored, or was not there when the lock was broken; if nobody changes the site now, valtctl lock break --reason WHY has all hosts begin anew"}
}

// fenceAll tells every host of the site that can be reached the new token, so that whoever held
// the lease before is refused there from now on, also with a request that was long on its way.
// A host that this run is not about and that cannot be told is named.
func (f *Fleet) fenceAll(ctx context.Context, token int64) error {
	return Each(f.Whole(), func(h *Host) error {
		if !h.Connected() {
			return nil
		}
		err := h.Fence(ctx, token)
		if h.beside && Unheard(err) {
			h.tell(event.Event{Kind: event.Note, Text: "it could not be told that this run changes the site now: " + OneLine(Bare(err))})
			return nil
		}
		return err
	})
}

// Outrank is Hold for a run that takes from others what they may do, where the host that keeps the
// site's lease cannot be reached: every host that can be is told a higher token. A run that holds the
// lease meanwhile changes nothing more there. Without a lease to renew it is for a short while.
func (f *Fleet) Outrank(ctx context.Context) (*LeaseHolder, context.Context, error) {
	h := &LeaseHolder{fleet: f, host: LeaseHost(f.Options.Site), lasts: lease.Attended, done: make(chan struct{}), stop: func() {}, sent: f.Options.Now()}
	close(h.done)
	f.ConnectBeside(ctx)
	top, err := f.highest(seen{})
	if err != nil {
		return nil, ctx, err
	}
	h.token = top + 1
	if err := f.fenceAll(ctx, h.token); err != nil {
		return nil, ctx, err
	}
	holding, cancel := context.WithCancelCause(ctx)
	h.cancel = cancel
	f.setLease(h)
	return h, holding, nil
}

// fencing is what hosts are told of a run that changes the site.
func (o Options) fencing(token int64) agent.LeaseRequest {
	return agent.LeaseRequest{Action: agent.LeaseFence, Token: token, Who: o.Who, Run: o.Run, Seconds: int64(lease.Attended / time.Second)}
}

// attend has the hosts keep out the key of unattended runs for longer, now and then. Nobody waits
// for one that does not answer.
func (h *LeaseHolder) attend(ctx context.Context) {
	now := h.fleet.Options.Now()
	h.mu.Lock()
	sent, token := h.sent, h.token
	h.mu.Unlock()
	if h.attended.IsZero() {
		h.attended = sent
	}
	if now.Sub(h.attended) < lease.Attended/3 {
		return
	}
	h.attended = now
	h.telling.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, quickWithin)
		defer cancel()
		h.fleet.eachConnected(func(_ *Host, c *agent.Client) { _, _ = c.Lease(ctx, h.fleet.Options.fencing(token)) })
	})
}

// eachConnected does something for every host whose link is there, for all at once.
func (f *Fleet) eachConnected(do func(*Host, *agent.Client)) {
	var wg sync.WaitGroup
	for _, h := range f.Whole() {
		if c := h.connection(); c != nil && !c.Lost() {
			wg.Go(func() { do(h, c) })
		}
	}
	wg.Wait()
}

// Reset is one host's part of a break: the token that it begins anew from, or why it could not be
// told.
type Reset struct {
	Host  string           `json:"host"`
	Token int64            `json:"token,omitempty"`
	Err   error            `json:"-"`
	Lease agent.LeaseReply `json:"-"`
}

// Break has every host of the site that can be reached know no run any more, and begin anew from
// one token that no former run has or is near to. A host that cannot be reached is in the list
// with its error; its own number differs then from all others', and no run begins before it was
// told, too.
func Break(ctx context.Context, o Options, reason string) ([]Reset, error) {
	o.Carrier = nil
	f := New(o, o.Site.Hosts)
	all := make([]Reset, len(f.Hosts))
	r := agent.LeaseRequest{Action: agent.LeaseBreak, Who: o.Who, Reason: reason, Token: lease.Fresh()}
	var wg sync.WaitGroup
	for i, h := range f.Hosts {
		wg.Go(func() {
			all[i] = Reset{Host: h.Name}
			if err := h.Connect(ctx); err != nil {
				all[i].Err = unreached(h, err)
				return
			}
			if all[i].Lease, all[i].Err = h.AskLease(ctx, r); all[i].Err == nil {
				all[i].Token = r.Token
			}
		})
	}
	wg.Wait()
	var errs []error
	for _, one := range all {
		errs = append(errs, one.Err)
	}
	return all, errors.Join(append(errs, f.Close())...)
}

// unreached is that a host had to be asked and could not be reached.
func unreached(h *Host, err error) error {
	fix := ""
	if all := problem.All(err); len(all) > 0 {
		fix = all[0].Fix
	}
	return &problem.Error{Kind: problem.Check, Doing: "reaching host", Object: h.Name, Err: err, Fix: fix}
}
