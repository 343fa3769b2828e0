package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// DefaultLease is how long a run holds the site's lease without renewing it.
const DefaultLease = time.Minute

// giveBackWithin is how long giving the lease back may take at the end of a run. One that
// cannot be given back expires.
const giveBackWithin = 5 * time.Second

// LeaseHolder holds the site's lease for a run. Every changing call carries its token.
type LeaseHolder struct {
	fleet  *Fleet
	host   site.Host // that keeps the lease
	client *agent.Client
	own    *agent.Client // opened for the lease alone; nil: client is the run's
	lasts  time.Duration
	cancel context.CancelCauseFunc
	done   chan struct{}
	stop   context.CancelFunc

	mu    sync.Mutex
	token int64
	sent  time.Time // when the last renewal that succeeded was sent
	lost  error

	attended time.Time      // when the hosts were last told that this run goes on; of keep alone
	telling  sync.WaitGroup // those that are being told
}

// LeaseHost is the host that keeps the site's lease: the application's, else the first
// media host of the site file.
func LeaseHost(s *site.Site) site.Host {
	for _, h := range s.Hosts {
		if h.KeepsLease() {
			return h
		}
	}
	return s.Hosts[0]
}

// keeper is the host that keeps the lease that the run takes.
func (o Options) keeper() site.Host {
	if o.Keeper != nil {
		return *o.Keeper
	}
	return LeaseHost(o.Site)
}

// Hold takes the site's lease for this run and keeps it until Release. The context that
// it returns ends when the lease is lost. rollout is kept beside it; nil: nothing is.
func (f *Fleet) Hold(ctx context.Context, rollout json.RawMessage) (*LeaseHolder, context.Context, error) {
	h := &LeaseHolder{fleet: f, host: f.Options.keeper(), lasts: f.Options.Lease, done: make(chan struct{})}
	if h.lasts == 0 {
		h.lasts = DefaultLease
	}
	if err := h.connect(ctx); err != nil {
		return nil, ctx, err
	}
	f.ConnectBeside(ctx)
	highest, err := f.highest(seen{h.host.Name, h.token})
	if err != nil {
		return nil, ctx, errors.Join(err, h.leave())
	}
	token, err := h.take(ctx, highest, rollout)
	if err != nil {
		return nil, ctx, errors.Join(fmt.Errorf("host %s: %w", h.host.Name, err), h.leave())
	}
	h.token = token
	if err := f.fenceAll(ctx, token); err != nil {
		return nil, ctx, errors.Join(err, h.giveBack(ctx), h.leave())
	}
	holding, cancel := context.WithCancelCause(ctx)
	h.cancel = cancel
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	go h.keep(renewing)
	f.setLease(h)
	return h, holding, nil
}

func (f *Fleet) setLease(h *LeaseHolder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lease = h
}

// take asks for the lease. A run that goes on for another one (Options.Outlive) waits where
// it is held: either the holder renews it, and so is alive, or it ends.
func (h *LeaseHolder) take(ctx context.Context, highest int64, rollout json.RawMessage) (token int64, err error) {
	o := h.fleet.Options
	for {
		h.sent = o.Now()
		reply, err := h.client.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseTake, Who: o.Who, Run: o.Run, Token: highest,
			Seconds: h.seconds(), Rollout: rollout})
		if err == nil || !o.Outlive || problem.KindOf(err) != problem.Locked {
			return reply.Token, err
		}
		ended, asking := h.outlive(ctx)
		if asking != nil || !ended {
			return 0, errors.Join(err, asking)
		}
	}
}

// outlivePoll is how often a lease that may be a dead run's is looked at.
const outlivePoll = time.Second

// outlive waits until the lease that somebody holds has ended, and says no as soon as it is
// renewed. The time is the host's, so it ends when the host says so.
func (h *LeaseHolder) outlive(ctx context.Context) (ended bool, err error) {
	last := int64(-1)
	for {
		now, err := h.client.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseShow})
		if err != nil {
			return false, fmt.Errorf("waiting for the site's lease: %w", err)
		}
		switch {
		case now.Run == "":
			return true, nil
		case last < 0:
			h.fleet.Options.Observer.Observe(event.Event{Kind: event.Note, Host: h.host.Name,
				Text: fmt.Sprintf("waiting for the lease of %s, run %s: it ends in %d s unless that run is still there", now.Who, now.Run, now.Left)})
		case now.Left > last:
			return false, nil
		}
		last = now.Left
		if sleep.For(ctx, outlivePoll) != nil {
			return false, fmt.Errorf("waiting for the site's lease: %w", context.Cause(ctx))
		}
	}
}

func (h *LeaseHolder) seconds() int64 { return max(1, int64(h.lasts/time.Second)) }

// connect uses the run's connection to the lease's host, or opens one of its own.
func (h *LeaseHolder) connect(ctx context.Context) error {
	if host, err := h.fleet.Host(h.host.Name); err == nil {
		if client := host.connection(); client != nil {
			h.client = client
			return nil
		}
	}
	client, err := h.fleet.Options.Dial.open(ctx, h.host, event.Silent{}, nil)
	if err != nil {
		return &problem.Error{Kind: problem.Failed, Doing: "taking the site's lease on host", Object: h.host.Name, Err: err,
			Fix: "only one run may change a site at a time, and this host keeps that in order: make it reachable first"}
	}
	h.own, h.client = client, client
	facts, err := client.Facts(ctx, agent.FactsRequest{})
	if err != nil {
		return errors.Join(fmt.Errorf("host %s: %w", h.host.Name, err), h.leave())
	}
	h.token = facts.Fence // counts among the highest
	return nil
}

// keep renews until it is stopped or the lease is lost.
func (h *LeaseHolder) keep(ctx context.Context) {
	defer close(h.done)
	tick := time.NewTicker(h.lasts / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := h.renew(ctx, nil); err != nil && ctx.Err() == nil {
			if saidByHost(err) || h.check() != nil {
				h.lose(err)
				return
			}
		}
		h.attend(ctx)
	}
}

// renew asks for the lease's whole time again, from when it was sent. Where the link is lost it
// is dialled again, once.
func (h *LeaseHolder) renew(ctx context.Context, rollout json.RawMessage) error {
	err := h.renewOnce(ctx, rollout)
	if err == nil || saidByHost(err) || ctx.Err() != nil || h.check() != nil {
		return err
	}
	h.reconnect(ctx)
	return h.renewOnce(ctx, rollout)
}

func (h *LeaseHolder) renewOnce(ctx context.Context, rollout json.RawMessage) error {
	if err := h.check(); err != nil {
		return err
	}
	h.mu.Lock()
	client, token := h.client, h.token
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, h.lasts/3)
	defer cancel()
	sent := h.fleet.Options.Now() // the lease lasts from then: a reply may be long on its way
	if _, err := client.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseRenew, Who: h.fleet.Options.Who, Run: h.fleet.Options.Run, Token: token,
		Seconds: h.seconds(), Rollout: rollout}); err != nil {
		return err
	}
	h.mu.Lock()
	h.sent = sent
	h.mu.Unlock()
	return nil
}

// reconnect opens a connection of the lease's own; failing is tried again with the next renewal.
func (h *LeaseHolder) reconnect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, h.lasts/3)
	defer cancel()
	client, err := h.fleet.Options.Dial.open(ctx, h.host, event.Silent{}, nil)
	if err != nil {
		return
	}
	h.mu.Lock()
	was := h.own
	h.own, h.client = client, client
	h.mu.Unlock()
	if was != nil {
		_ = was.Close() // it is dead
	}
}

// check says whether the lease still holds, as far as this side knows. The time since the
// last renewal is the longer of what the monotonic and the wall clock say: the one stands
// still while a laptop sleeps, the other may be set.
func (h *LeaseHolder) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost != nil {
		return h.lost
	}
	now := h.fleet.Options.Now()
	if gone := max(now.Sub(h.sent), now.Round(0).Sub(h.sent.Round(0))); gone >= h.lasts {
		h.lost = &problem.Error{Kind: problem.Locked, Doing: "holding the site's lease", Object: h.fleet.Options.Site.ID,
			Err: fmt.Errorf("it was last renewed %s ago and has expired", gone.Round(time.Second)),
			Fix: "this run changes nothing any more; see where the site is with: valtctl status; valtctl resume goes on"}
		return h.lost
	}
	return nil
}

func (h *LeaseHolder) lose(err error) {
	h.mu.Lock()
	if h.lost == nil {
		h.lost = err
	}
	err = h.lost
	h.mu.Unlock()
	h.cancel(err)
}

// Err is why the lease was lost; nil: it was not.
func (h *LeaseHolder) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// Note keeps what the run is about beside the lease.
func (h *LeaseHolder) Note(ctx context.Context, rollout json.RawMessage) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.lasts)
	defer cancel()
	if err := h.renew(ctx, rollout); err != nil {
		return fmt.Errorf("keeping how far the run is: %w", err)
	}
	return nil
}

// Release gives the lease back.
func (h *LeaseHolder) Release(ctx context.Context) error {
	if h == nil {
		return nil
	}
	h.stop()
	<-h.done
	h.telling.Wait()
	h.fleet.setLease(nil)
	if h.Err() != nil {
		return errors.Join(h.Err(), h.leave())
	}
	return errors.Join(h.giveBack(ctx), h.leave())
}

// giveBack tells the lease's host, and all others that the run has ended. Where that fails the
// lease expires, which is no error of the run.
func (h *LeaseHolder) giveBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackWithin)
	defer cancel()
	release := agent.LeaseRequest{Action: agent.LeaseRelease, Run: h.fleet.Options.Run, Token: h.token}
	if h.client != nil {
		_, _ = h.client.Lease(ctx, release)
	}
	h.fleet.eachConnected(func(_ *Host, c *agent.Client) {
		if c != h.client {
			_, _ = c.Lease(ctx, release)
		}
	})
	return nil
}

func (h *LeaseHolder) leave() error {
	if h.own == nil {
		return nil
	}
	return ignoreClosed(h.own.Close())
}

// fence is the token for a changing call, 0 in a run that holds no lease; an error where the
// lease does not hold any more.
func (f *Fleet) fence() (int64, error) {
	f.mu.Lock()
	held := f.lease
	f.mu.Unlock()
	if held == nil {
		return 0, nil
	}
	if err := held.check(); err != nil {
		return 0, err
	}
	return held.token, nil
}
