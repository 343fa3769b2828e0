package updater

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

// AbortPreview is what an abort would do: what --dry-run shows and a person confirms.
type AbortPreview struct {
	Rollout *Intent     `json:"rollout,omitempty"` // nil: nothing stands beside the lease
	Hosts   []AbortHost `json:"hosts,omitempty"`
}

// AbortHost is what an abort would do with one host.
type AbortHost struct {
	Host        string    `json:"host"`
	Release     string    `json:"release,omitempty"` // that it has now
	Transaction string    `json:"transaction,omitempty"`
	State       txn.State `json:"state,omitempty"`
	Does        string    `json:"does"`
}

// AbortResult is what an abort came to. Report is nil where nothing was done.
type AbortResult struct {
	Preview *AbortPreview `json:"preview"`
	Report  *Report       `json:"report,omitempty"`
}

// Nothing says that there is nothing to abort.
func (p *AbortPreview) Nothing() bool {
	return p.Rollout == nil && !slices.ContainsFunc(p.Hosts, func(h AbortHost) bool { return h.Transaction != "" })
}

// Abort ends a rollout that is not over: what was not confirmed is taken back, hosts that
// were confirmed keep what they have, and nothing is left to resume. Nothing is cut off in
// its middle. A host that cannot be reached goes back by itself. agree is asked before
// anything is done; nil: go on.
func Abort(ctx context.Context, o Options, agree func(context.Context, *AbortPreview) error) (*AbortResult, error) {
	o.Hosts = nil // a rollout is aborted whole
	found, err := Status(ctx, o, false)
	if err != nil {
		return nil, err
	}
	if found.Lease == nil {
		return nil, found.unreached()
	}
	if found.Intent != nil && found.Intent.Replace != nil {
		return nil, &UnfinishedReplacement{*found.Intent.Replace}
	}
	result := &AbortResult{Preview: previewAbort(found)}
	switch {
	case result.Preview.Nothing() || o.DryRun:
		return result, found.unreached()
	case found.Attended():
		return result, &problem.Error{Kind: problem.Locked, Doing: "aborting the rollout of site", Object: o.Site.ID,
			Err: fmt.Errorf("%s is at work on it with run %s", found.Lease.Who, found.Lease.Run),
			Fix: "stop that run first (Ctrl-C); if it will never come back: valtctl lock break --reason WHY"}
	}
	if agree != nil {
		if err := agree(ctx, result.Preview); err != nil {
			return result, err
		}
	}
	for _, h := range found.Hosts {
		if h.Err == nil {
			o.Hosts = append(o.Hosts, h.Host)
		}
	}
	work, err := installer.Begin(ctx, o.Options)
	if err != nil {
		return result, err
	}
	a := &abortRun{update: &update{Options: o, work: work}, found: found, why: "aborted by " + o.Who}
	result.Report, err = a.run(ctx)
	return result, errors.Join(err, found.unreached(), work.Close())
}

// unreached is why hosts gave no answer; nil: all did.
func (s *SiteStatus) unreached() error {
	var errs []error
	for _, h := range s.Hosts {
		errs = append(errs, h.Err)
	}
	return errors.Join(errs...)
}

func previewAbort(found *SiteStatus) *AbortPreview {
	p := &AbortPreview{Rollout: found.Intent}
	for _, h := range found.Hosts {
		p.Hosts = append(p.Hosts, previewAbortHost(found.Intent, h))
	}
	return p
}

func previewAbortHost(intent *Intent, h status.Host) AbortHost {
	a := AbortHost{Host: h.Host, Does: "stays as it is"}
	if h.Err != nil {
		a.Does = "is not reached: what was not confirmed there goes back by itself"
		return a
	}
	if h.Facts.Installed != nil {
		a.Release = h.Facts.Installed.Release
	}
	now := h.Current()
	switch {
	case now != nil && !now.State.Finished() && (now.WayBack || now.Stage):
		a.Transaction, a.State = now.ID, now.State
		a.Does = abortWords(now)
	case intent != nil && intent.Done[h.Host].Outcome == Updated:
		a.Does = "keeps " + intent.Done[h.Host].To
	}
	return a
}

func abortWords(t *txn.Summary) string {
	switch {
	case t.Undoing:
		return "is followed while it goes back from " + t.Release
	case t.Stage || t.Half == step.Fetch:
		return "stops fetching " + t.Release
	case t.State == txn.StateUnconfirmed:
		return "goes back from " + t.Release
	}
	return "is followed to the end of its change to " + t.Release + ", and goes back then"
}

// abortRun is one abort under way.
type abortRun struct {
	*update
	found *SiteStatus
	why   string
}

// run takes back what can be, while the lease is held. What is beside the lease is removed
// only when every host's end was seen: else the abort can be repeated.
func (a *abortRun) run(ctx context.Context) (*Report, error) {
	held, holding, err := a.work.Hold(ctx, nil)
	if err != nil {
		return nil, err
	}
	report, err := a.recorded(holding)
	if over(report) && holding.Err() == nil {
		err = errors.Join(err, held.Note(ctx, json.RawMessage("null")))
	}
	return report, errors.Join(err, held.Release(ctx))
}

// callOffAll brings every unfinished transaction to its end; the results are by host.
func (a *abortRun) callOffAll(ctx context.Context) (map[string]HostRecord, error) {
	if err := a.work.Refresh(ctx); err != nil { // it may have gone on since it was looked at
		return nil, err
	}
	left := a.work.Unfinished()
	results := make([]HostRecord, len(left))
	errs := make([]error, len(left))
	var wg sync.WaitGroup
	for i, l := range left {
		wg.Go(func() { results[i], errs[i] = a.callOff(ctx, l) })
	}
	wg.Wait()
	by := map[string]HostRecord{}
	for _, r := range results {
		by[r.Host] = r
	}
	return by, errors.Join(errs...)
}

// callOff ends one transaction. An error is what a person must be told.
func (a *abortRun) callOff(ctx context.Context, l installer.Unfinished) (HostRecord, error) {
	r := HostRecord{Host: l.Host, To: l.Release, Started: l.Started, Transaction: l.ID}
	done, err := a.work.CallOff(ctx, l, a.why)
	if err != nil {
		r.Outcome, r.Reason = Running, oneLine(err)
		return r, err
	}
	_ = (&driver{update: a.update}).conclude(done, &r) // its reason is in r
	r.Ended = a.Now()
	switch {
	case l.Stage, r.Outcome == Failed:
		r.Outcome, r.Reason, r.Started = NotStarted, a.why, r.Ended
	case r.Outcome == Quarantined:
		return r, fmt.Errorf("host %s: %w", l.Host, done.Result.Err())
	}
	return r, nil
}
