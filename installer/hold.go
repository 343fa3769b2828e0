package installer

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
)

// DefaultLease is how long a run holds the site's lease without renewing it.
const DefaultLease = time.Minute

// giveBackWithin is how long giving the lease back may take at the end of a run. One that
// cannot be given back expires.
const giveBackWithin = 5 * time.Second

// Hold is the site's lease while a run holds it. Every changing call carries its token.
type Hold struct {
	run    *run
	host   site.Host
	client *agent.Client
	own    *session // opened for the lease alone; nil: one of the run's
	lasts  time.Duration
	cancel context.CancelCauseFunc
	done   chan struct{}
	stop   context.CancelFunc

	mu    sync.Mutex
	token int64
	sent  time.Time // when the last renewal that succeeded was sent
	lost  error
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

// hold takes the site's lease for this run and keeps it until release. The context that
// it returns ends when the lease is lost. rollout is kept beside it; nil: nothing is.
func (r *run) hold(ctx context.Context, rollout json.RawMessage) (*Hold, context.Context, error) {
	h := &Hold{run: r, host: LeaseHost(r.Site), lasts: r.Lease, done: make(chan struct{})}
	if h.lasts == 0 {
		h.lasts = DefaultLease
	}
	if err := h.connect(ctx); err != nil {
		return nil, ctx, err
	}
	highest := h.token
	for _, f := range r.facts {
		highest = max(highest, f.Fence)
	}
	token, err := h.take(ctx, highest, rollout)
	if err != nil {
		return nil, ctx, errors.Join(fmt.Errorf("host %s: %w", h.host.Name, err), h.leave())
	}
	h.token = token
	if err := r.fenceAll(ctx, token); err != nil {
		return nil, ctx, errors.Join(err, h.giveBack(ctx), h.leave())
	}
	holding, cancel := context.WithCancelCause(ctx)
	h.cancel = cancel
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	go h.keep(renewing)
	r.held = h
	return h, holding, nil
}

// take asks for the lease. A run that goes on for another one (Options.Outlive) waits where
// it is held: either the holder renews it, and so is alive, or it ends.
func (h *Hold) take(ctx context.Context, highest int64, rollout json.RawMessage) (token int64, err error) {
	r := h.run
	for {
		h.sent = r.Now()
		reply, err := h.client.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseTake, Who: r.Who, Run: r.Run, Token: highest,
			Seconds: h.seconds(), Rollout: rollout})
		if err == nil || !r.Outlive || problem.KindOf(err) != problem.Locked {
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
func (h *Hold) outlive(ctx context.Context) (ended bool, err error) {
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
			h.run.Observer.Observe(event.Event{Kind: event.Note, Host: h.host.Name,
				Text: fmt.Sprintf("waiting for the lease of %s, run %s: it ends in %d s unless that run is still there", now.Who, now.Run, now.Left)})
		case now.Left > last:
			return false, nil
		}
		last = now.Left
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("waiting for the site's lease: %w", context.Cause(ctx))
		case <-time.After(outlivePoll):
		}
	}
}

func (h *Hold) seconds() int64 { return max(1, int64(h.lasts/time.Second)) }

// connect uses the run's connection to the lease's host, or opens one of its own.
func (h *Hold) connect(ctx context.Context) error {
	for i, host := range h.run.hosts {
		if host.Name == h.host.Name && h.run.session(i) != nil {
			h.client = h.run.session(i).client
			return nil
		}
	}
	s, err := h.run.Connect.open(ctx, h.host, event.Silent{})
	if err != nil {
		return &problem.Error{Kind: problem.Failed, Doing: "taking the site's lease on host", Object: h.host.Name, Err: err,
			Fix: "only one run may change a site at a time, and this host keeps that in order: make it reachable first"}
	}
	h.own, h.client = s, s.client
	facts, err := s.client.Facts(ctx, agent.FactsRequest{})
	if err != nil {
		return errors.Join(fmt.Errorf("host %s: %w", h.host.Name, err), h.leave())
	}
	h.token = facts.Fence // counts among the highest
	return nil
}

// fenceAll tells every host of the run the new token, so that whoever held the lease
// before is refused there from now on.
func (r *run) fenceAll(ctx context.Context, token int64) error {
	return each(len(r.hosts), func(i int) error {
		s := r.session(i)
		if s == nil {
			return nil
		}
		if _, err := s.client.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseFence, Token: token}); err != nil {
			return fmt.Errorf("host %s: %w", r.hosts[i].Name, err)
		}
		return nil
	})
}

// keep renews until it is stopped or the lease is lost.
func (h *Hold) keep(ctx context.Context) {
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
			h.reconnect(ctx) // the link is lost; the lease is not, yet
		}
	}
}

// renew asks for the lease's whole time again, from when it was sent.
func (h *Hold) renew(ctx context.Context, rollout json.RawMessage) error {
	if err := h.check(); err != nil {
		return err
	}
	h.mu.Lock()
	client, token := h.client, h.token
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, h.lasts/3)
	defer cancel()
	sent := h.run.Now()
	if _, err := client.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseRenew, Who: h.run.Who, Run: h.run.Run, Token: token,
		Seconds: h.seconds(), Rollout: rollout}); err != nil {
		return err
	}
	h.mu.Lock()
	h.sent = sent
	h.mu.Unlock()
	return nil
}

// reconnect opens a connection of the lease's own; failing is tried again at the next tick.
func (h *Hold) reconnect(ctx context.Context) {
	s, err := h.run.Connect.open(ctx, h.host, event.Silent{})
	if err != nil {
		return
	}
	h.mu.Lock()
	was := h.own
	h.own, h.client = s, s.client
	h.mu.Unlock()
	if was != nil {
		_ = was.close() // it is dead
	}
}

// check says whether the lease still holds, as far as this side knows. The time since the
// last renewal is the longer of what the monotonic and the wall clock say: the one stands
// still while a laptop sleeps, the other may be set.
func (h *Hold) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost != nil {
		return h.lost
	}
	now := h.run.Now()
	if gone := max(now.Sub(h.sent), now.Round(0).Sub(h.sent.Round(0))); gone >= h.lasts {
		h.lost = &problem.Error{Kind: problem.Locked, Doing: "holding the site's lease", Object: h.run.Site.ID,
			Err: fmt.Errorf("it was last renewed %s ago and has expired", gone.Round(time.Second)),
			Fix: "this run changes nothing any more; see where the site is with: valtctl status; valtctl resume goes on"}
		return h.lost
	}
	return nil
}

func (h *Hold) lose(err error) {
	h.mu.Lock()
	if h.lost == nil {
		h.lost = err
	}
	err = h.lost
	h.mu.Unlock()
	h.cancel(err)
}

// Err is why the lease was lost; nil: it was not.
func (h *Hold) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// Note keeps what the run is about beside the lease.
func (h *Hold) Note(ctx context.Context, rollout json.RawMessage) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.lasts/3)
	defer cancel()
	if err := h.renew(ctx, rollout); err != nil {
		return fmt.Errorf("keeping how far the run is: %w", err)
	}
	return nil
}

// Release gives the lease back.
func (h *Hold) Release(ctx context.Context) error {
	if h == nil {
		return nil
	}
	h.stop()
	<-h.done
	h.run.held = nil
	if h.Err() != nil {
		return errors.Join(h.Err(), h.leave())
	}
	return errors.Join(h.giveBack(ctx), h.leave())
}

// giveBack tells the lease's host. Where that fails the lease expires, which is no error
// of the run.
func (h *Hold) giveBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackWithin)
	defer cancel()
	_, _ = h.client.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseRelease, Run: h.run.Run, Token: h.token})
	return nil
}

func (h *Hold) leave() error {
	if h.own == nil {
		return nil
	}
	return ignoreClosed(h.own.close())
}

// fenced is the token for a changing call; an error where the lease does not hold any more.
func (r *run) fenced() (int64, error) {
	if r.held == nil {
		return 0, nil
	}
	if err := r.held.check(); err != nil {
		return 0, err
	}
	return r.held.token, nil
}
