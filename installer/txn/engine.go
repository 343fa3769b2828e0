package txn

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// recorder is the journal as the engine uses it.
type recorder interface {
	AppendStep(kind journal.Kind, id string, of step.KindName, data any) (journal.Record, error)
}

// engine is one execution of a transaction.
type engine struct {
	store   *Store
	id      string
	request Request
	machine *step.Machine
	kinds   step.Registry
	journal recorder
	past    past
	left    map[string]string // steps that were not done in this execution, and why
	result  Result
	// stop ends when the host tells the program to stop. What is done meanwhile may have an
	// end of its own before; only this one leaves the transaction to a later execution.
	stop context.Context
}

// Execute runs a transaction, or goes on with one that was cut off anywhere: every step
// is inspected first and changes the host only if it still has to. It gives the machine
// its secrets and listens to its progress. The error is about the execution itself: a
// transaction that does not exist, another process that runs it (problem.Locked), a
// journal that cannot be written, after which nothing more is changed. What went wrong
// in a step is in the Result. When ctx ends the transaction stays unfinished.
func (s *Store) Execute(ctx context.Context, id string, m *step.Machine, kinds step.Registry) (Result, error) {
	request, err := s.request(id)
	if err != nil {
		return Result{}, err
	}
	w, records, torn, err := journal.Open(s.journalFile(id), s.now)
	if err != nil {
		return Result{}, fmt.Errorf("running transaction %s: %w", id, err)
	}
	defer w.Close()
	e := &engine{
		store: s, id: id, request: request, machine: m, kinds: kinds, journal: w,
		past: readPast(records), left: map[string]string{}, stop: ctx,
	}
	if e.past.end != nil {
		return *e.past.end, s.forget(id, true)
	}
	m.Secret = func(name string) ([]byte, error) { return s.secret(id, name) }
	m.Progress = s.keepProgress(id)
	m.Tell = func(text string) { e.result.Told = append(e.result.Told, cut(text)) }
	if e.past.undoing == nil && !e.past.confirmed {
		e.past.undoing = s.readUndoing(id)
	}
	// The way back does not wait until this can be written down.
	if err := errors.Join(noteTorn(w, torn), e.begin()); err != nil && e.past.undoing == nil {
		return Result{}, err
	}
	if err := e.run(ctx); err != nil {
		return Result{}, fmt.Errorf("running transaction %s: %w", id, err)
	}
	return e.result, nil
}

// begin says in the journal who wants what, or that it goes on.
func (e *engine) begin() error {
	if e.past.last != "" {
		return e.note(journal.Resumed, "", resumedData{e.machine.BootID})
	}
	r := e.request
	return e.note(journal.Begin, "", beginData{r.Site, r.Host, r.Release, r.PlanDigest, r.RunID, r.Who, e.machine.BootID})
}

// run goes on where the transaction is: on the way back, past its confirmation, or in its
// halves.
func (e *engine) run(ctx context.Context) error {
	switch {
	case e.past.undoing != nil:
		return e.undo(ctx, *e.past.undoing)
	case e.past.confirmed:
		return e.settle(ctx)
	}
	if kept, err := e.isKept(); kept || err != nil {
		if err != nil {
			return err
		}
		return e.confirm(ctx)
	}
	return e.forward(ctx)
}

// forward runs both halves and ends the transaction.
func (e *engine) forward(ctx context.Context) error {
	if off, err := e.calledOff(ctx); off || err != nil {
		return err
	}
	if err := e.tooManyBoots(); err != nil {
		return e.fail(ctx, step.Spec{}, err)
	}
	if e.past.fetched { // killed before it could forget them
		if err := e.store.forget(e.id, false); err != nil {
			return err
		}
	} else if _, gone := e.store.missing(e.id, e.request); gone {
		return e.wait("", errSecretsGone())
	}
	for _, half := range []step.Half{step.Fetch, step.Apply} {
		if err := e.tooLate(half); err != nil {
			return e.callOff(ctx, err)
		}
		if err := e.prepare(half); err != nil {
			return e.turnBack(ctx, "", err)
		}
		err := e.half(ctx, half)
		if err != nil && half == step.Apply && e.hasWayBack() && e.past.undoing == nil {
			return e.turnBack(ctx, "", err) // what can no longer be written down is not gone on with
		}
		if err != nil || e.result.Outcome != "" {
			return err
		}
	}
	if e.hasWayBack() {
		return e.awaitConfirmation(ctx)
	}
	e.result.Outcome = Done
	return e.end()
}

// prepare sets room aside for the way back before anything is changed that may have to go it:
// a disk that is full must not keep a host from becoming what it was.
func (e *engine) prepare(half step.Half) error {
	if half != step.Apply || !e.hasWayBack() {
		return nil
	}
	if err := e.store.setRoomAside(e.id); err != nil {
		return err
	}
	room, err := e.stepsRoom()
	if err != nil {
		return err
	}
	return e.store.setStepsRoomAside(e.id, room)
}

// stepsRoom is how many bytes the ways back of all steps write at most.
func (e *engine) stepsRoom() (int64, error) {
	var sum int64
	for _, spec := range e.request.Steps {
		if spec.Half != step.Apply {
			continue
		}
		made, err := e.make(spec)
		if roomy, ok := made.(step.Roomy); err == nil && ok {
			var n int64
			n, err = roomy.Room(e.machine)
			sum += n
		}
		if err != nil {
			return 0, fmt.Errorf("finding out how much room the way back takes: %s: %w", spec.Title, err)
		}
	}
	return sum, nil
}

func errSecretsGone() error {
	return &problem.Error{Kind: problem.Failed, Doing: "fetching",
		Err: errors.New("the host restarted before everything was fetched, and forgot the secrets that it was given"),
		Fix: "valtctl resume gives them again and goes on."}
}

// half runs the steps of one half in order, until one ends the execution.
func (e *engine) half(ctx context.Context, half step.Half) error {
	limit := e.request.limit(half)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, tooLong(half, limit))
	defer cancel()
	ctx, stopLooking := e.untilCalledOff(ctx)
	defer stopLooking()
	late := time.NewTimer(limit)
	defer late.Stop()
	for _, spec := range e.request.Steps {
		if spec.Half != half {
			continue
		}
		if e.stop.Err() != nil {
			return e.interrupted(spec)
		}
		select {
		case <-late.C: // the step before took no notice; on a busy machine a context hears of its deadline later
			return e.fail(ctx, spec, tooLong(half, limit))
		default:
		}
		if err := e.step(ctx, spec); err != nil || e.result.Outcome != "" {
			return err
		}
		if half == step.Fetch {
			if off, err := e.calledOff(ctx); off || err != nil {
				return err
			}
		}
	}
	if half != step.Fetch || e.past.fetched {
		return nil
	}
	if err := e.note(journal.HalfDone, "", halfData{half}); err != nil {
		return err
	}
	e.past.fetched = true
	return e.store.forget(e.id, false)
}

// step brings one step to its outcome. The error is the journal's.
func (e *engine) step(ctx context.Context, spec step.Spec) error {
	for _, need := range spec.Needs {
		if why, left := e.left[need]; left {
			return e.leave(journal.Skipped, spec, reasonData{fmt.Sprintf("it needs %s, which was %s", need, why)})
		}
	}
	made, err := e.make(spec)
	if err != nil {
		return e.fail(ctx, spec, err)
	}
	found, err := made.Inspect(ctx, e.machine)
	switch {
	case errors.Is(err, step.ErrSecretGone) && e.past.fetched && spec.Half == step.Fetch:
		return e.keep(spec)
	case err != nil:
		return e.fail(ctx, spec, fmt.Errorf("inspecting %s: %w", spec.Title, err))
	case !found.Change:
		e.count(spec)
		return e.note(journal.Unchanged, spec.ID, shown(found))
	case e.request.Policy == Defer && disrupts(spec, found) != step.Nothing:
		return e.leave(journal.Deferred, spec, shown(found))
	}
	return e.apply(ctx, spec, made, found)
}

// apply changes the host and looks whether it is as wanted then.
func (e *engine) apply(ctx context.Context, spec step.Spec, made step.Step, found step.Finding) error {
	if err := e.note(journal.Apply, spec.ID, shown(found)); err != nil {
		return err
	}
	e.past.began[spec.ID] = true
	if err := made.Apply(ctx, e.machine); err != nil {
		return e.fail(ctx, spec, fmt.Errorf("applying %s: %w", spec.Title, err))
	}
	after, err := made.Inspect(ctx, e.machine)
	if err != nil {
		return e.fail(ctx, spec, fmt.Errorf("inspecting %s after it was applied: %w", spec.Title, err))
	}
	if after.Change {
		return e.fail(ctx, spec, &problem.Error{Kind: problem.Failed, Doing: "applying", Object: spec.Title,
			Err: fmt.Errorf("the host still differs from what is wanted afterwards:\n%s", after.Diff),
			Fix: "Something else on the host may be changing it back."})
	}
	e.result.Changed++
	return e.note(journal.Applied, spec.ID, shown(step.Finding{Notes: after.Notes}))
}

// keep takes the journal's word for a fetched step that cannot be inspected any more.
func (e *engine) keep(spec step.Spec) error {
	switch before := e.past.outcome[spec.ID]; before {
	case journal.Deferred, journal.Skipped:
		return e.leave(before, spec, reasonData{"as before, since its secret is gone"})
	}
	e.count(spec)
	return e.note(journal.Kept, spec.ID, reasonData{"its secret is gone, and it was done before"})
}

// count counts a step that is as wanted. What an execution before this one changed was
// changed by this transaction.
func (e *engine) count(spec step.Spec) {
	if e.past.began[spec.ID] {
		e.result.Changed++
		return
	}
	e.result.Unchanged++
}

// leave records a step that is not done, so that those which need it are not either.
func (e *engine) leave(as journal.Kind, spec step.Spec, why any) error {
	e.left[spec.ID] = string(as)
	if as == journal.Deferred {
		e.result.Deferred = append(e.result.Deferred, spec.ID)
	} else {
		e.result.Skipped = append(e.result.Skipped, spec.ID)
	}
	return e.note(as, spec.ID, why)
}

// fail ends the execution at a step that went wrong. Where the host's end is why, the
// transaction is only interrupted. Where everything had been fetched once and a part of
// it is there no more, the host cannot help itself and waits.
func (e *engine) fail(ctx context.Context, spec step.Spec, err error) error {
	if e.stop.Err() != nil {
		return e.interrupted(spec)
	}
	if ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) { // the half's own end
		err = errors.Join(context.Cause(ctx), err)
	}
	if e.hasWayBack() {
		return e.turnBack(e.stop, spec.ID, err)
	}
	if e.past.fetched && spec.Half == step.Fetch {
		return e.wait(spec.ID, err)
	}
	e.result.Outcome, e.result.Step, e.result.Problems = Failed, spec.ID, problems(errors.Join(err, e.leaveBegun(e.stop)))
	if err := e.note(journal.Failed, spec.ID, problemsData{e.result.Problems}); err != nil {
		return err
	}
	return e.end()
}

func (e *engine) interrupted(spec step.Spec) error {
	e.result.Outcome, e.result.Step = Interrupted, spec.ID
	return e.note(journal.Interrupted, spec.ID, nil)
}

// wait leaves the transaction to a person. Its fetch half is to be done again then.
func (e *engine) wait(at string, err error) error {
	e.result.Outcome, e.result.Step, e.result.Problems = Waiting, at, problems(err)
	if err := e.note(journal.Waiting, at, problemsData{e.result.Problems}); err != nil {
		return err
	}
	return e.store.forget(e.id, false)
}

// end finishes the transaction. What the host now is, is written before the journal
// says that it is over: after a cut in between it is written again.
func (e *engine) end() error {
	if err := e.writeInstalled(); err != nil {
		return err
	}
	if err := e.note(journal.End, "", e.result); err != nil {
		return err
	}
	e.store.giveRoomBack(e.id)
	e.store.keepSummary(e.id)
	if e.result.Outcome != Quarantined { // what was kept is evidence then, and of use to repair
		if err := e.store.forgetKept(e.id); err != nil {
			return err
		}
	}
	return e.store.forget(e.id, true)
}

// writeInstalled says what the host is by now, if that is all of a release.
func (e *engine) writeInstalled() error {
	switch {
	case !e.result.Complete() || e.request.Stage:
		return nil
	case e.request.ReplacedBy != "":
		return e.store.writeReplaced(e.request)
	case e.request.Partial:
		return nil
	}
	return e.store.writeInstalled(e.request)
}

// note appends to the journal. Where the disk is full it makes room with what was set aside.
func (e *engine) note(kind journal.Kind, stepID string, data any) error {
	_, err := e.journal.AppendStep(kind, stepID, e.request.kindOf(stepID), data)
	if errors.Is(err, syscall.ENOSPC) && e.store.spendRoom(e.id) {
		_, err = e.journal.AppendStep(kind, stepID, e.request.kindOf(stepID), data)
	}
	return err
}

// disrupts is what applying would interrupt now: what the step found, else what it may
// at worst.
func disrupts(spec step.Spec, found step.Finding) step.Disruption {
	switch {
	case found.Disrupts != "":
		return found.Disrupts
	case spec.Disrupts != "":
		return spec.Disrupts
	}
	return step.Nothing
}

// shown is a finding as the journal keeps it.
func shown(f step.Finding) step.Finding {
	f.Diff = cut(f.Diff)
	return f
}
