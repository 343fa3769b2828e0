package restrict

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/lease"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/sleep"
)

func restarting(r agent.TxnRestartRequest) keyuse.Use {
	return keyuse.Use{Call: keyuse.Resume, Transaction: r.ID}
}

func confirming(r agent.TxnConfirmRequest) keyuse.Use {
	if r.Undo != "" {
		return keyuse.Use{Call: keyuse.Undo, Transaction: r.ID}
	}
	return keyuse.Use{Call: keyuse.Confirm, Transaction: r.ID}
}

func leasing(r agent.LeaseRequest) keyuse.Use {
	switch r.Action {
	case agent.LeaseShow, agent.LeaseRelease: // which is answered as a look
		return keyuse.Use{Call: keyuse.Look}
	case agent.LeaseFence:
		return keyuse.Use{Call: keyuse.Fence}
	}
	return keyuse.Use{Call: keyuse.Lease}
}

// begun is a transaction that was begun with the key.
func (j *Judge) begun(id string) (txn.Summary, error) {
	all, err := j.Transactions()
	if err != nil {
		return txn.Summary{}, err
	}
	i := slices.IndexFunc(all, func(t txn.Summary) bool { return t.ID == id })
	if i < 0 || !isOwn(all[i]) {
		return txn.Summary{}, refuse(keyuse.Foreign, fmt.Sprintf("transaction %.40q", id), "it was not begun with this key")
	}
	return all[i], nil
}

// restart lets what was begun with the key go on, whatever the clock says: its apply half has
// begun in its window, or begins in it or not at all (txn.Request.Before).
func (j *Judge) restart(_ context.Context, r *agent.TxnRestartRequest) error {
	r.Secrets = j.Own.Secrets()
	_, err := j.begun(r.ID)
	return errors.Join(err, j.token(r.Fence))
}

// maxSaid caps what the key's holder has to say in a journal, in bytes.
const maxSaid = 2000

// confirm lets what was begun with the key be taken back, and be kept where the host is well by
// its own word, asked now.
func (j *Judge) confirm(ctx context.Context, r *agent.TxnConfirmRequest) error {
	t, err := j.begun(r.ID)
	if err := errors.Join(err, j.token(r.Fence)); err != nil {
		return err
	}
	switch {
	case r.Undo != "":
		r.Undo = Who(j.Home) + " says: " + keyuse.Clean(r.Undo, maxSaid)
		return nil
	case t.Confirmed || t.State.Finished():
		return nil // it is answered that it is for good, or that it went back
	case t.State != txn.StateUnconfirmed:
		return refuse(keyuse.Foreign, "transaction "+t.ID, "it has not switched the host: it is %s", t.State)
	}
	return j.healthy(ctx, t)
}

// How often and after which pause a host that is not well is asked again: whoever asks for the
// confirmation has found it well just now.
const (
	healthLooks = 20
	healthPause = time.Second
)

// healthy wants this host's own health steps for a release to find nothing amiss.
func (j *Judge) healthy(ctx context.Context, t txn.Summary) error {
	p, err := j.Own.Plan(ctx, t.Release)
	if err != nil {
		return err
	}
	_, self := j.Own.About()
	hp, _ := p.Plan.Host(self.Name)
	steps := slices.DeleteFunc(slices.Clone(hp.Steps), func(s step.Spec) bool { return s.Kind != docker.KindHealth })
	for look := 1; ; look++ {
		ill, err := j.ill(ctx, agent.InspectRequest{Release: t.Release, Steps: steps, Secrets: j.Own.Secrets()})
		if err != nil || ill == "" {
			return err
		}
		if look == healthLooks {
			return refuse(keyuse.Ill, "confirmation of "+t.ID, "this host is not well with release %s: %s", t.Release, ill)
		}
		if err := sleep.For(ctx, healthPause); err != nil {
			return err
		}
	}
}

// ill is what the host finds amiss with itself; empty: nothing. What cannot be found out is.
func (j *Judge) ill(ctx context.Context, r agent.InspectRequest) (string, error) {
	seen, err := j.host.Inspect(ctx, r)
	if err != nil {
		return "", err
	}
	for _, f := range seen.Findings {
		switch {
		case len(f.Problems) > 0:
			return f.ID + ": " + f.Problems[0].Cause, nil
		case f.Finding.Change:
			return f.ID + ": " + f.Finding.Diff, nil
		}
	}
	return "", nil
}

// answer lets steps of a transaction that was begun with the key be answered: rules that a
// person has on trial are not the key's to keep.
func (j *Judge) answer(_ context.Context, a *step.Answer) error {
	all, err := j.Transactions()
	if err != nil {
		return err
	}
	now := txn.Current(all)
	if now == nil || now.State.Finished() || !isOwn(*now) {
		return refuse(keyuse.Foreign, "answer to a step", "nothing that was begun with this key is at work")
	}
	if a.Refused != "" {
		a.Refused = Who(j.Home) + " says: " + keyuse.Clean(a.Refused, maxSaid)
	}
	return nil
}

// token refuses one that is no next one of what this host has seen, and one that would outrank a
// person who is at work here. That no person's run holds the site's lease is seen to where the
// token is admitted.
func (j *Judge) token(token int64) error {
	highest, err := j.Fence()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("token %d", token)
	if token < 0 || token-highest > lease.Jump {
		return refuse(keyuse.Foreign, what, "the highest that this host has seen is %d", highest)
	}
	all, err := j.Transactions()
	if err != nil {
		return err
	}
	if now := txn.Current(all); now != nil && !now.State.Finished() && !isOwn(*now) {
		return refuse(keyuse.Busy, what, "transaction %s, begun by %s, is %s", now.ID, now.Who, now.State)
	}
	return nil
}

// lease lets a run be announced. The lease itself is kept by the host that runs unattended,
// which needs no key for itself; so there is none to give back here, either.
func (j *Judge) lease(_ context.Context, r *agent.LeaseRequest) error {
	switch r.Action {
	case agent.LeaseShow:
		return nil
	case agent.LeaseRelease:
		*r = agent.LeaseRequest{Action: agent.LeaseShow}
		return nil
	case agent.LeaseFence:
		return j.token(r.Token)
	}
	return refuse(keyuse.Foreign, "lease "+string(r.Action), "this host keeps no lease of unattended runs")
}
