package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater/drain"
)

// driver is the Driver of real hosts.
type driver struct {
	*update
	target  *installer.Target
	preview *Preview
}

// DrainStep is the id of the step that keeps sessions out.
const DrainStep = "drain"

// Stage has a host fetch what it lacks. A host that lacks nothing is left alone.
func (f *driver) Stage(ctx context.Context, host string) error {
	if !lacks(f.preview.Host(host)) {
		return nil
	}
	plan, _ := f.target.Plan.Host(host)
	fetch := slices.DeleteFunc(slices.Clone(plan.Steps), func(s step.Spec) bool { return s.Half != step.Fetch })
	done, err := f.work.Do(ctx, host, f.target, installer.Change{Steps: fetch, Policy: txn.Defer, Stage: true})
	if err != nil {
		return err
	}
	if err := done.Result.Err(); err != nil {
		return fmt.Errorf("host %s: %w", host, err)
	}
	return nil
}

// lacks says whether a host has anything to fetch.
func lacks(p *HostPreview) bool {
	return p != nil && slices.ContainsFunc(p.Steps, func(s StepPreview) bool { return s.Half == step.Fetch })
}

// Update changes one host and sees to it that it ends old, new, or in quarantine.
func (f *driver) Update(ctx context.Context, host string) HostResult {
	r := &HostResult{Host: host, From: f.from, To: f.target.Manifest.Version, Started: f.Now()}
	if p := f.preview.Host(host); p != nil && p.From != "" {
		r.From = p.From
	}
	err := f.change(ctx, host, r)
	r.Ended = f.Now()
	if err != nil && r.Reason == "" {
		r.Reason = oneLine(err)
	}
	switch {
	case r.Outcome != "":
	case ctx.Err() != nil:
		r.Outcome = Running
	default:
		r.Outcome = Failed
	}
	return *r
}

// change does the work of Update. An error with no Outcome in r is a host that was not
// changed, or of which nothing is known.
func (f *driver) change(ctx context.Context, host string, r *HostResult) error {
	plan, _ := f.target.Plan.Host(host)
	findings, err := f.work.Inspect(ctx, host, f.target, plan.Steps)
	if err != nil {
		return err
	}
	now := f.hostPreview(host, plan.Steps, findings)
	if len(now.Steps) == 0 {
		r.Outcome = Unchanged
		return nil
	}
	steps := plan.Steps
	if now.Drained {
		if steps, err = f.drained(ctx, host, steps, r); err != nil {
			return err
		}
	}
	before, err := f.look(ctx, f.target, host)
	if err != nil {
		return err
	}
	if err := f.switched(ctx, host, steps, before, r); err != nil || r.Outcome != Updated {
		return err
	}
	if err := f.soak(ctx, host, r); err != nil {
		return f.takeBack(ctx, host, err, r)
	}
	return nil
}

// drained puts the drain in front of what disrupts, after the questions that must be
// answered first: do the licence servers answer, is nothing recorded that the application
// drives.
func (f *driver) drained(ctx context.Context, host string, steps []step.Spec, r *HostResult) ([]step.Spec, error) {
	h, _ := f.Site.Host(host)
	if h.HasEngine() {
		tried, err := f.work.Try(ctx, f.target, installer.LicenceFlows(host))
		if tried > 0 {
			f.gate(r, "licence servers", err, fmt.Sprintf("%d flows work", tried))
		}
		if err != nil {
			return nil, err
		}
	}
	if site.Is(h.Roles, func(r site.RoleSpec) bool { return r.Conducts }) && f.target.Manifest.Drain.App != "ignore" {
		err := f.awaitRecordings(ctx, host)
		f.gate(r, "recordings", err, "nothing is recorded on other hosts")
		if err != nil {
			if errors.Is(err, step.ErrNotDrained) {
				r.Outcome = Skipped
			}
			return nil, err
		}
	}
	params, err := drain.For(f.Site, h, f.target.Manifest, f.drainWithin(host, f.Now()), f.Interrupt && slices.Contains(f.Hosts, host))
	if err != nil {
		return nil, err
	}
	return withDrain(steps, params)
}

// withDrain puts the drain first in the apply half.
func withDrain(steps []step.Spec, params drain.Params) ([]step.Spec, error) {
	drain, err := DrainSpec(params)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(steps, func(s step.Spec) bool { return s.Half == step.Apply })
	if at < 0 {
		at = len(steps)
	}
	return slices.Insert(slices.Clone(steps), at, drain), nil
}

// DrainSpec is the step that keeps sessions out and waits for recordings.
func DrainSpec(params drain.Params) (step.Spec, error) {
	raw, err := mustJSON(params)
	return step.Spec{ID: DrainStep, Kind: drain.KindDrain, Title: "no new sessions, and the end of the running recordings",
		Half: step.Apply, Disrupts: step.Nothing, Params: raw}, err
}

// switched has the host change and judges what it has become.
func (f *driver) switched(ctx context.Context, host string, steps []step.Spec, before State, r *HostResult) error {
	approve := func(ctx context.Context) error { return f.judge(ctx, f.target, host, before, r) }
	done, err := f.work.Do(ctx, host, f.target, installer.Change{Steps: steps, Policy: txn.Allow,
		Confirm: time.Duration(f.Site.Updates.ConfirmWithin).String(), Approve: approve})
	r.Transaction = done.ID
	if err != nil {
		return err
	}
	return f.conclude(done, r)
}

// conclude puts what a transaction came to into the host's result.
func (f *driver) conclude(done fleet.End, r *HostResult) error {
	r.Transaction, r.Downtime = done.ID, downtime(done.Records)
	err := done.Result.Err()
	switch done.Result.Outcome {
	case txn.Done:
		r.Outcome = Updated
	case txn.RolledBack:
		r.Outcome = RolledBack
	case txn.NotDrained:
		r.Outcome = Skipped
	case txn.Quarantined:
		r.Outcome = Quarantined
	case txn.Failed:
		r.Outcome = Failed
	default:
		r.Outcome = Running
	}
	r.Reason = oneLine(err)
	return err
}

// downtime is how long containers were away, from the journal: from the first that was
// about to be replaced to the last that was healthy again.
func downtime(records []journal.Record) time.Duration {
	var from, to time.Time
	for _, rec := range records {
		if rec.StepKind != step.KindContainer {
			continue
		}
		switch rec.Kind {
		case journal.Apply:
			if from.IsZero() {
				from = rec.Time
			}
		case journal.Applied, journal.Undone:
			to = rec.Time
		}
	}
	if from.IsZero() || to.Before(from) {
		return 0
	}
	return to.Sub(from)
}

// takeBack brings a host whose soak failed back to the release before: by an update of its
// own, with a drain of its own, since sessions run there again by now.
func (f *driver) takeBack(ctx context.Context, host string, why error, r *HostResult) error {
	r.Outcome, r.Reason = "", ""
	back := *f
	var err error
	if back.target, err = f.work.Plan(ctx, r.From, true); err != nil {
		return errors.Join(why, err)
	}
	plan, _ := back.target.Plan.Host(host)
	inner := &HostResult{Host: host}
	steps, err := back.drained(ctx, host, plan.Steps, inner)
	if err == nil {
		err = back.switched(ctx, host, steps, State{}, inner)
	}
	r.Gates = append(r.Gates, inner.Gates...)
	r.Downtime += inner.Downtime
	switch inner.Outcome {
	case Updated:
		r.Outcome, r.Reason, r.Transaction = RolledBack, oneLine(why), inner.Transaction
	case Skipped, RolledBack: // it still has the new release, and serves as it did
		r.Outcome, r.Reason = Failed, oneLine(errors.Join(why, err))
	default:
		r.Outcome, r.Reason = inner.Outcome, oneLine(errors.Join(why, err))
	}
	return why
}

// gate notes a question that the rollout asked, and its answer.
func (f *driver) gate(r *HostResult, name string, err error, passed string) {
	g := Gate{Name: name, Passed: err == nil, Text: passed, Time: f.Now()}
	if err != nil {
		g.Text = oneLine(err)
	}
	r.Gates = append(r.Gates, g)
	f.Observer.Observe(event.Event{Kind: event.Note, Host: r.Host, Text: name + ": " + g.Text})
}

// How often and for how long nothing must be recorded before the application is changed.
const awaitEvery = 2 * time.Second

// awaitRecordings waits until no other host records: the application drives recordings,
// and nobody could stop one while it is away.
func (f *driver) awaitRecordings(ctx context.Context, host string) error {
	began, quiet := f.Now(), 0
	within := f.drainWithin(host, began)
	need := max(1, f.target.Manifest.Drain.QuietSeconds/int(awaitEvery/time.Second)) + 1
	for {
		busy, err := f.recording(ctx, host)
		if err != nil {
			return err
		}
		if quiet++; len(busy) > 0 {
			quiet = 0
		}
		if quiet >= need {
			return nil
		}
		if left := within - f.Now().Sub(began); left <= 0 && len(busy) > 0 {
			return &problem.Error{Kind: problem.Halted, Doing: "waiting for recordings before changing", Object: host,
				Err: fmt.Errorf("%w after %s: %s", step.ErrNotDrained, within, strings.Join(busy, ", ")),
				Fix: "run the command again when they have ended"}
		} else if len(busy) > 0 {
			f.Observer.Observe(event.Event{Kind: event.Progress, Host: host,
				Text: fmt.Sprintf("waiting for %s, %s left", strings.Join(busy, ", "), left.Round(time.Second))})
		}
		if err := pause(ctx, awaitEvery); err != nil {
			return err
		}
	}
}

// recording names what is recorded on media hosts other than this one.
func (f *driver) recording(ctx context.Context, but string) ([]string, error) {
	var busy []string
	for _, h := range f.work.Hosts {
		if h.Name == but || !h.HasEngine() {
			continue
		}
		engine, err := f.engine(ctx, f.target, h.Name)
		if err != nil {
			return nil, err
		}
		for _, r := range engine.Busy() {
			busy = append(busy, h.Name+" "+r.Name)
		}
	}
	return busy, nil
}

// engine asks what a media host's engine does.
func (f *driver) engine(ctx context.Context, t *installer.Target, host string) (wowza.State, error) {
	access, err := drain.Engine(t.Manifest)
	if err != nil {
		return wowza.State{}, err
	}
	h, err := f.work.Host(host)
	if err != nil {
		return wowza.State{}, err
	}
	return h.Engine(ctx, *access)
}

func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// pause waits; an error means that ctx ended first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
