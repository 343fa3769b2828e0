package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
	"ipivs.com/valtctl/updater/window"
)

// Options are what a look at the clock is given. Those of installer and Kinds are needed.
type Options struct {
	fleet.Options
	Kinds step.Registry
	Files Files
	Post  Post
	// Clock is the time that windows are judged by; nil: Now. All else goes by Now.
	Clock func() time.Time
	// Check makes the options of a check, which leaves nothing on the hosts.
	Check func() (installer.CheckOptions, error)
	// Soak and Drain are updater's; 0: its defaults.
	Soak, Drain time.Duration
}

// Times of what is tried again.
const (
	againAfter   = 15 * time.Minute // a window in which nothing could be begun
	resumeMost   = 12               // looks at the clock, an hour of them
	resumeEvery  = 20 * time.Second // while another run's lease runs out
	resumePauses = 10
)

// RunResult is what a look at the clock came to.
type RunResult struct {
	Time      time.Time       `json:"time"`
	Decisions []Decision      `json:"decisions"`
	Told      []string        `json:"told,omitempty"` // subjects of notices
	Report    *updater.Report `json:"report,omitempty"`
}

// clockRun is one look at the clock under way.
type clockRun struct {
	Options
	windows window.Schedule
	state   State
	offer   *Offer
	strange error // how hosts differ from the copy of the site that is worked from; nil: not at all
	result  *RunResult
}

// Run looks at the clock once and does what there is to do. What it comes to is in the
// state and told to people; the error is what they would have to know beyond that.
func Run(ctx context.Context, o Options) (*RunResult, error) {
	if o.Clock == nil {
		o.Clock = o.Now
	}
	r := &clockRun{Options: o, result: &RunResult{Time: o.Clock().UTC()}}
	var err error
	if r.windows, err = window.Of(o.Site.Updates); err != nil {
		return nil, err
	}
	if r.state, err = o.Files.Load(); err != nil {
		return nil, err
	}
	err = r.look(ctx)
	r.watchKey(ctx)
	return r.result, errors.Join(err, r.sendNotices(context.WithoutCancel(ctx)), r.save())
}

func (r *clockRun) save() error { return r.Files.Save(r.state) }

// look does what there is to do, and what there is then: a window that was missed is told,
// and the next one may be open.
func (r *clockRun) look(ctx context.Context) error {
	for range 3 {
		d := Decide(Input{Now: r.Clock(), Site: r.Site.ID, Windows: r.windows, State: r.state, Offer: r.offer})
		r.result.Decisions = append(r.result.Decisions, d)
		var again bool
		var err error
		switch d.Do {
		case Missed:
			r.missed(d)
			again = true
		case LookAhead:
			err = r.lookAhead(ctx, d)
		case Resume:
			err = r.resume(ctx, d)
		case Update:
			again, err = r.update(ctx, d)
		case Nothing:
			r.unused(d)
		}
		if err != nil || !again {
			return err
		}
	}
	return nil
}

// unused notes a window in which a decision was made not to do anything, so that it does
// not count as missed.
func (r *clockRun) unused(d Decision) {
	span, open := r.windows.Around(r.Clock())
	if !open || r.offer == nil && !r.state.Paused.holds(r.Clock()) {
		return
	}
	if a := r.state.Attempt; a == nil || !a.Window.Equal(span.Open) {
		r.state.Attempt = &Attempt{Window: span.Open, Until: span.Close, Began: r.Clock(), Ended: r.Clock(), Outcome: d.Why}
	}
}

// readOffer reads what is on offer and what the hosts have.
func (r *clockRun) readOffer(ctx context.Context) error {
	work, err := installer.Begin(ctx, r.Options.Options)
	if err != nil {
		return err
	}
	o := &Offer{}
	_, err = work.Releases(ctx, false)
	if err == nil {
		o.Release, o.Percent, err = work.Offered(ctx)
	}
	for _, h := range work.Hosts {
		if was := work.Facts(h.Name).Installed; was != nil {
			o.Installed = append(o.Installed, was.Release)
		}
	}
	if err == nil {
		r.strange, err = untrusted(ctx, work)
	}
	if err == nil {
		r.offer = o
	}
	return errors.Join(err, work.Close())
}

// lookAhead tries everything that an update needs, and fetches it where that is wanted.
func (r *clockRun) lookAhead(ctx context.Context, d Decision) error {
	looked := r.Clock()
	asked := r.readOffer(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	found, report, err := r.tries(ctx)
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	found = append(found, problemLines(errors.Join(asked, r.strange))...)
	wanted, offline := "", updater.MediaServers(r.Site)
	if r.offer != nil {
		if why := (Input{Site: r.Site.ID, State: r.state, Offer: r.offer}).unwanted(); why == "" {
			wanted = r.offer.Release
			if len(found) == 0 && !r.windows.BlackedOut(r.Clock()) {
				preview, err := r.stage(ctx)
				found = append(found, problemLines(err)...)
				if preview != nil {
					offline = preview.Offline
				}
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err() // what was cut off has found nothing
	}
	r.state.Looked = looked
	r.noticeAhead(d, ahead{found, wanted, offline}, report)
	return nil
}

// tries is what a check of an update finds that will not work. Nobody waits for it, so what
// fails is tried once more and then, where it is slow, given time: a person is not to be
// woken for one lost packet.
func (r *clockRun) tries(ctx context.Context) (found []string, report *check.Report, err error) {
	for _, deadline := range []time.Duration{probe.DefaultDeadline, patience} {
		if found, report, err = r.tryOnce(ctx, deadline); err != nil || len(found) == 0 || ctx.Err() != nil {
			break
		}
	}
	return found, report, err
}

// patience is how long each flow may take in the end, since nobody waits.
const patience = 10 * time.Second

func (r *clockRun) tryOnce(ctx context.Context, deadline time.Duration) (found []string, report *check.Report, err error) {
	o, err := r.Check()
	if err != nil {
		return nil, nil, err
	}
	o.Topics, o.NoListen, o.Deadline = []check.Topic{check.Update}, true, deadline
	if report, err = installer.Check(ctx, o); err != nil {
		return problemLines(err), nil, nil
	}
	for _, one := range report.Results {
		if one.Status == check.Fail {
			found = append(found, line(one.Subject, one.Cause, one.Fix))
		}
	}
	return found, report, nil
}

// stage fetches what the update needs. The preview says what it will do; nil: it is not known.
func (r *clockRun) stage(ctx context.Context) (*updater.Preview, error) {
	o := r.rollout(Decision{})
	o.StageOnly, o.To = true, r.offer.Release
	result, err := updater.Update(ctx, o)
	if result == nil {
		return nil, err
	}
	return result.Preview, err
}

// rollout are the options of a rollout that ends with the window.
func (r *clockRun) rollout(d Decision) updater.Options {
	o := updater.Options{Options: r.Options.Options, Kinds: r.Kinds, Soak: r.Soak, DrainWithin: r.Drain}
	if !d.Window.Close.IsZero() {
		o.Until = r.Now().Add(d.Window.Close.Sub(r.Clock())) // by the clock that the rollout goes by
	}
	return o
}

// update rolls the release on offer over the site. again says that nothing was decided yet.
func (r *clockRun) update(ctx context.Context, d Decision) (again bool, err error) {
	before := r.state.Attempt
	a := &Attempt{Window: d.Window.Open, Until: d.Window.Close, Began: r.Clock()}
	if r.offer == nil {
		if err := r.readOffer(ctx); err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			r.state.Attempt = a
			r.failed(before, a, err)
			return false, nil
		}
		return true, nil // with the offer the decision may be another
	}
	r.state.Attempt = a
	if r.strange != nil {
		r.failed(before, a, r.strange)
		return false, nil
	}
	a.Run, a.Release = r.Run, r.offer.Release
	if err := r.save(); err != nil {
		return false, err
	}
	o := r.rollout(d)
	o.To = r.offer.Release
	result, err := updater.Update(ctx, o)
	return false, r.conclude(ctx, before, result, err)
}

// failed notes an attempt that could not begin. The window is tried again after a while,
// and people are told once.
func (r *clockRun) failed(before, a *Attempt, err error) {
	a.Run, a.Ended, a.Outcome = "", r.Clock(), "it could not begin: "+flat(err)
	a.Again = a.Ended.Add(againAfter)
	if before != nil && before.Window.Equal(a.Window) && !before.Again.IsZero() {
		return
	}
	r.notice("update", true, "the update could not begin",
		fmt.Sprintf("The maintenance window is open%s, and the update could not begin:\n\n%s\nNothing was changed. It is tried again every %s while the window is open.\n",
			r.until(a), bullets(problemLines(err)), againAfter), nil)
}

func (r *clockRun) until(a *Attempt) string {
	if a.Until.IsZero() {
		return ""
	}
	return " until " + When(r.windows, a.Until)
}

// resume goes on with a rollout that this machine's reboot, or a kill, cut off.
func (r *clockRun) resume(ctx context.Context, _ Decision) error {
	a := r.state.Attempt
	a.Resumed++
	if err := r.save(); err != nil {
		return err
	}
	o := updater.Options{Options: r.Options.Options, Kinds: r.Kinds}
	var result *updater.UpdateResult
	var err error
	for range resumePauses {
		result, err = updater.Resume(ctx, o)
		if err == nil || ctx.Err() != nil || problem.KindOf(err) != problem.Locked {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(resumeEvery):
		}
	}
	if errors.Is(err, updater.ErrNoRollout) { // it had ended; what it came to stands in its record
		result, err = &updater.UpdateResult{}, nil
		if runs, listErr := updater.Runs(r.StateDir); listErr == nil && len(runs) > 0 && runs[0] >= a.Run {
			if report, readErr := updater.ReadReport(r.StateDir, runs[0]); readErr == nil {
				result.Report, err = report, report.Err()
			}
		}
	}
	return r.conclude(ctx, nil, result, err)
}

// conclude notes what a rollout came to and tells it. One whose hosts still are at work
// stays open, and is gone on with at the next look at the clock.
func (r *clockRun) conclude(ctx context.Context, before *Attempt, result *updater.UpdateResult, err error) error {
	a := r.state.Attempt
	if ctx.Err() != nil {
		return ctx.Err() // cut off: it is gone on with
	}
	var report *updater.Report
	if result != nil {
		report = result.Report
	}
	r.result.Report = report
	if report == nil && err != nil && a.Resumed == 0 {
		r.failed(before, a, err)
		return nil
	}
	open := report != nil && report.Count(updater.Running) > 0 || report == nil && err != nil
	if open && a.Resumed < resumeMost {
		return nil
	}
	a.Ended = r.Clock()
	r.count(report)
	subject, good := r.summary(report, err)
	a.Outcome = subject
	r.notice("update", !good, subject, r.updateText(report, err), report)
	return nil
}

// count keeps how often in a row a host was not quiet in time, and that a release is bad.
func (r *clockRun) count(report *updater.Report) {
	if report == nil {
		return
	}
	if r.state.Skipped == nil {
		r.state.Skipped = map[string]int{}
	}
	for _, h := range report.Hosts {
		switch h.Outcome {
		case updater.Skipped:
			r.state.Skipped[h.Host]++
		case updater.Updated, updater.Unchanged:
			delete(r.state.Skipped, h.Host)
		case updater.RolledBack, updater.Quarantined, updater.Failed:
			r.state.Halted = report.To
		}
	}
}
