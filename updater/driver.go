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
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/database"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater/drain"
)

// driver is the Driver of real hosts.
type driver struct {
	*update
	target  *installer.Target
	preview *Preview
	// note keeps what a host did before its change, so that whoever goes on with the rollout
	// can compare; nil: nobody can.
	note func(host string, before State) error
}

// DrainStep is the id of the step that keeps sessions out.
const DrainStep = "drain"

// Stage has a host fetch what it lacks. A host that lacks nothing is left alone.
func (d *driver) Stage(ctx context.Context, host string) error {
	if !lacks(d.preview.Host(host)) {
		return nil
	}
	plan, _ := d.target.Plan.Host(host)
	fetch := slices.DeleteFunc(slices.Clone(plan.Steps), func(s step.Spec) bool { return s.Half != step.Fetch })
	done, err := d.work.Do(ctx, host, d.target, installer.Change{Steps: fetch, Policy: txn.Defer, Stage: true})
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
func (d *driver) Update(ctx context.Context, host string) HostRecord {
	r := &HostRecord{Host: host, From: d.from, To: d.target.Manifest.Version, Started: d.Now()}
	if p := d.preview.Host(host); p != nil && p.From != "" {
		r.From = p.From
	}
	err := d.change(ctx, host, r)
	r.Ended = d.Now()
	if err != nil && r.Reason == "" {
		r.Reason = oneLine(err)
	}
	switch {
	case r.Outcome != "":
	case ctx.Err() != nil:
		r.Outcome = Running
	case r.begun && fleet.Unheard(err): // it was told to begin, and what it does is not known
		r.Outcome = Running
	default:
		r.Outcome = Failed
	}
	return *r
}

// change does the work of Update. An error with no Outcome in r is a host that was not
// changed, or of which nothing is known.
func (d *driver) change(ctx context.Context, host string, r *HostRecord) error {
	plan, _ := d.target.Plan.Host(host)
	findings, err := d.work.Inspect(ctx, host, d.target, plan.Steps)
	if err != nil {
		return err
	}
	now := d.hostPreview(host, plan.Steps, findings)
	if len(now.Steps) == 0 {
		r.Outcome = Unchanged
		return nil
	}
	steps := plan.Steps
	if now.Drained {
		if steps, err = d.drained(ctx, host, steps, r); err != nil {
			return err
		}
	}
	before, err := d.look(ctx, d.target, host)
	if err != nil {
		return err
	}
	if d.note != nil {
		if err := d.note(host, before); err != nil {
			return err
		}
	}
	if err := d.switched(ctx, host, steps, before, r); err != nil || r.Outcome != Updated {
		return err
	}
	return d.proven(ctx, host, r)
}

// proven has a host that was confirmed prove itself, and draws the consequences.
func (d *driver) proven(ctx context.Context, host string, r *HostRecord) error {
	err := d.soak(ctx, host, r)
	var apart *unreached
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errUnwatched):
		r.Outcome, r.Reason = Running, oneLine(err)+"; valtctl resume watches it again"
		return err
	case errors.As(err, &apart):
		r.Outcome, r.Reason = Failed, oneLine(err)
		return err
	}
	return d.takeBack(ctx, host, err, r)
}

// drained puts the drain in front of what disrupts, after the questions that must be
// answered first: do the licence servers answer, is nothing recorded that the application
// drives.
func (d *driver) drained(ctx context.Context, host string, steps []step.Spec, r *HostRecord) ([]step.Spec, error) {
	h, _ := d.Site.Host(host)
	if h.HasEngine() {
		tried, err := d.work.Try(ctx, d.target, installer.LicenceFlows(host))
		if tried > 0 {
			d.gate(r, "licence servers", err, fmt.Sprintf("%d flows work", tried))
		}
		if err != nil {
			return nil, err
		}
	}
	if drain.DrivesOthers(d.Site, h, d.target.Manifest) {
		err := d.awaitRecordings(ctx, host)
		d.gate(r, "recordings", err, "nothing is recorded on other hosts")
		if err != nil {
			if errors.Is(err, step.ErrNotDrained) {
				r.Outcome = Skipped
			}
			return nil, err
		}
	}
	params, err := drain.For(d.Site, h, d.target.Manifest, d.drainWithin(host, d.Now()), d.Interrupt && slices.Contains(d.Hosts, host))
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
func (d *driver) switched(ctx context.Context, host string, steps []step.Spec, before State, r *HostRecord) error {
	approve := func(ctx context.Context) error { return d.proveHealth(ctx, d.target, host, before, r) }
	r.begun = true
	after := d.stuckAfter(host)
	ctx, cancel := context.WithTimeoutCause(ctx, after, fmt.Errorf("%w: its change, its confirmation and its way back were not over within %s", errStuck, after))
	defer cancel()
	done, err := d.work.Do(ctx, host, d.target, installer.Change{Steps: steps, Policy: txn.Allow, Within: d.applyWithin(host),
		Confirm: time.Duration(d.Site.Updates.ConfirmWithin).String(), Approve: approve, Quiet: d.nothingElsewhere(host)})
	r.Transaction = done.ID
	if stuck := context.Cause(ctx); err != nil && errors.Is(stuck, errStuck) {
		r.Outcome, r.Reason = Running, oneLine(stuck)+"; look at the host, then: valtctl resume"
		return stuck
	}
	if err != nil {
		if done.ID == "" && problem.KindOf(err) == problem.Halted {
			r.Outcome = Skipped // it is not to be changed now, and says so itself (package restrict)
		}
		return err
	}
	return d.conclude(done, r)
}

// conclude puts what a transaction came to into the host's result.
func (d *driver) conclude(done fleet.End, r *HostRecord) error {
	r.Transaction, r.Downtime = done.ID, downtime(done.Records)
	d.ownChecks(done, r)
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

// ownChecks puts into the host's result what the site's own checks came to, and what the host has
// to say that made nothing fail.
func (d *driver) ownChecks(done fleet.End, r *HostRecord) {
	for _, rec := range done.Records {
		if rec.StepKind != system.KindSiteCheck {
			continue
		}
		switch rec.Kind {
		case journal.Applied, journal.Unchanged:
			var found step.Finding
			if rec.Decode(&found) == nil && len(found.Notes) == 0 { // with notes it is among what is told
				d.gate(r, rec.Step, nil, "it passes")
			}
		case journal.Failed:
			d.gate(r, rec.Step, done.Result.Err(), "")
		}
	}
	for _, text := range done.Result.Told {
		d.gate(r, "told", errors.New(text), "")
	}
}

// downtime is how long containers were away, from the journal: from the first that was
// about to be replaced to the last that was healthy again.
func downtime(records []journal.Record) time.Duration {
	var from, to time.Time
	for _, rec := range records {
		if rec.StepKind != docker.KindContainer && rec.StepKind != database.KindStill {
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
func (d *driver) takeBack(ctx context.Context, host string, why error, r *HostRecord) error {
	r.Outcome, r.Reason = "", ""
	if err := d.keepsChanged(r); err != nil {
		r.Outcome, r.Reason = Failed, oneLine(errors.Join(why, err))
		return why
	}
	back := *d
	var err error
	if back.target, err = d.work.Plan(ctx, r.From, true); err != nil {
		return errors.Join(why, err)
	}
	plan, _ := back.target.Plan.Host(host)
	inner := &HostRecord{Host: host}
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
func (d *driver) gate(r *HostRecord, name string, err error, passed string) {
	g := Gate{Name: name, Passed: err == nil, Text: passed, Time: d.Now()}
	if err != nil {
		g.Text = oneLine(err)
	}
	r.Gates = append(r.Gates, g)
	d.Observer.Observe(event.Event{Kind: event.Note, Host: r.Host, Text: name + ": " + g.Text})
}

// applyWithin is how long a host's apply half may take in all.
func (d *driver) applyWithin(host string) time.Duration {
	return d.drainWithin(host, d.Now()) + time.Duration(d.Site.Updates.HostWithin)
}

// errStuck is why a host is not followed any longer.
var errStuck = errors.New("it is stuck")

// stuckAfter is how long a host is followed: its change, the wait for its confirmation and its way
// back may all take their time, and the host ends each by itself before. Where it does not, somebody
// must look at it.
func (d *driver) stuckAfter(host string) time.Duration {
	return 2*d.applyWithin(host) + time.Duration(d.Site.Updates.ConfirmWithin) + silenceFor
}

func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
