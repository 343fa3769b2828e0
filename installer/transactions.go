package installer

import (
	"context"
	"errors"
	"time"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
)

// Change is one transaction that a host is to make.
type Change struct {
	Steps   []step.Spec
	Policy  txn.Policy
	Stage   bool // its fetch half alone, ahead of time
	Partial bool // as txn.Request's
	Yields  bool // as txn.Request's
	// ReplacedBy is as txn.Request's.
	ReplacedBy string
	Confirm    string         // as txn.Request's
	Approve    fleet.Approval // with Confirm
	Quiet      fleet.Approval // as fleet.Transaction's
	// Within is how long the apply half may take in all; 0: txn.Request's default.
	Within time.Duration
}

// Do has a host make a change and follows it to its end, over as many connections as it
// takes. An error means that the end was not seen: the host goes on by itself. Without an ID
// in the End it was not begun.
func (r *Run) Do(ctx context.Context, host string, t *Target, c Change) (fleet.End, error) {
	h, err := r.Host(host)
	if err != nil {
		return fleet.End{}, err
	}
	end, err := r.change(ctx, h, t, c)
	r.tellEnd(h, end, err)
	return end, err
}

// change is Do for a host that is known, and tells nobody of the end.
func (r *Run) change(ctx context.Context, h *fleet.Host, t *Target, c Change) (fleet.End, error) {
	request := txn.Request{Release: t.Manifest.Version, PlanDigest: t.Digest, Policy: c.Policy, Steps: c.Steps,
		Stage: c.Stage, Partial: c.Partial, Yields: c.Yields, ReplacedBy: c.ReplacedBy, Confirm: c.Confirm}
	if c.Within > 0 {
		request.ApplyWithin = c.Within.String()
	}
	id, err := h.Start(ctx, request, r.secrets(h), &t.release.State)
	if err != nil {
		return fleet.End{}, err
	}
	return r.follow(ctx, h, fleet.Transaction{ID: id, Steps: c.Steps, Approve: c.Approve, Quiet: c.Quiet})
}

// follow watches a transaction to its end.
func (r *Run) follow(ctx context.Context, h *fleet.Host, t fleet.Transaction) (fleet.End, error) {
	t.Secrets = func() map[string][]byte { return r.secrets(h) }
	return h.Follow(ctx, t)
}

// tellEnd tells how a host's transaction ended, where that was seen.
func (r *Run) tellEnd(h *fleet.Host, end fleet.End, err error) {
	if err == nil {
		r.Options.Observer.Observe(event.Event{Kind: event.Done, Host: h.Name, Text: string(end.Result.Outcome)})
	}
}

// Unfinished is a transaction that an earlier run left on a host.
type Unfinished struct {
	Host string
	txn.Summary
}

// Unfinished lists what earlier runs left.
func (r *Run) Unfinished() []Unfinished {
	var all []Unfinished
	for _, h := range r.Hosts {
		for _, t := range h.Facts().Transactions {
			if !t.State.Finished() {
				all = append(all, Unfinished{h.Name, t})
			}
		}
	}
	return all
}

// Adopt goes on with a transaction that an earlier run left, and follows it to its end.
func (r *Run) Adopt(ctx context.Context, u Unfinished, approve, quiet fleet.Approval) (fleet.End, error) {
	h, err := r.Host(u.Host)
	if err != nil {
		return fleet.End{}, err
	}
	brings := u.State == txn.StateRunning && r.Options.Carrier != nil // the bundle answers at another place now
	if brings || u.State == txn.StateWaiting || u.State == txn.StateInterrupted {
		if err := h.Restart(ctx, u.ID, r.secrets(h)); err != nil {
			return fleet.End{}, err
		}
	}
	end, err := r.follow(ctx, h, fleet.Transaction{ID: u.ID, Approve: approve, Quiet: quiet})
	r.tellEnd(h, end, err)
	return end, err
}

// CallOff has a host take back a transaction that an earlier run left, and follows it to
// its end. Nothing is cut off in its middle: an apply half that has begun is done first.
// One that was confirmed by then stays. The lease must be held.
func (r *Run) CallOff(ctx context.Context, u Unfinished, why string) (fleet.End, error) {
	h, err := r.Host(u.Host)
	if err != nil {
		return fleet.End{}, err
	}
	if err := h.CallOff(ctx, u.Summary, why); err != nil {
		return fleet.End{}, err
	}
	return r.Adopt(ctx, u, func(context.Context) error { return errors.New(why) }, nil)
}

// Quarantined is the transaction that left a host neither old nor new, unless a later one
// led out of that; empty: there is none.
func Quarantined(h *fleet.Host) string {
	for _, past := range h.Facts().Transactions {
		if past.Stage {
			continue
		}
		if past.State == txn.StateQuarantined || past.State == txn.StateDamaged {
			return past.ID
		}
		return ""
	}
	return ""
}
