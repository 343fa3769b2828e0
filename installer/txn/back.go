package txn

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// How often and after which pause taking a step back is tried before the host is
// quarantined: an engine that is just starting, a lock of another package manager.
const (
	backTries  = 3
	backPause  = 10 * time.Second
	backWithin = time.Hour // a try: recordings are waited for, and packages installed
	tidyWithin = 10 * time.Minute
)

// hasWayBack says whether the transaction can be taken back.
func (e *engine) hasWayBack() bool { return e.request.Confirm != "" }

// make makes a step, and gives it its folder for what its way back needs.
func (e *engine) make(spec step.Spec) (step.Step, error) {
	e.machine.Keep = ""
	if e.hasWayBack() {
		e.machine.Keep = filepath.Join(e.store.keptDir(e.id), url.PathEscape(spec.ID))
	}
	return e.kinds.Make(spec)
}

// keptDir is where a transaction's steps keep what their undoing needs.
func (s *Store) keptDir(id string) string { return filepath.Join(s.rollback, id) }

// forgetKept removes it, once there is no way back any more.
func (s *Store) forgetKept(id string) error {
	if err := durable.RemoveAll(s.keptDir(id)); err != nil {
		return fmt.Errorf("removing what was kept for the way back: %w", err)
	}
	return nil
}

// turnBack takes everything back because of err at a step, or of the whole for "". That is not
// given up for what cannot be written down: the way back waits for no disk, and why it is
// taken is kept in memory as well.
func (e *engine) turnBack(ctx context.Context, at string, err error) error {
	why := undoingData{Outcome: RolledBack, Step: at, Problems: problems(err)}
	if errors.Is(err, step.ErrNotDrained) || errors.Is(err, errTooLate) {
		why.Outcome = NotDrained
	}
	if at != "" {
		_ = e.note(journal.Failed, at, problemsData{why.Problems})
	}
	if err := e.note(journal.Undoing, "", why); err != nil {
		e.store.keepUndoing(e.id, why)
	}
	e.past.undoing = &why
	return e.undo(ctx, why)
}

// undo takes back every step that began to change the host, the last first. What fails
// leaves those before it alone: a gate must not open in front of a host that is broken. Only
// that it is over must be written down; where it cannot be, the host tries again later.
func (e *engine) undo(ctx context.Context, why undoingData) error {
	e.result.Outcome, e.result.Step, e.result.Problems = why.Outcome, why.Step, why.Problems
	e.store.makeRoomForSteps(e.id)
	for _, spec := range slices.Backward(e.request.Steps) {
		if !e.past.began[spec.ID] {
			continue
		}
		if e.stop.Err() != nil {
			return e.interrupted(spec)
		}
		back, err := e.wayBack(spec)
		if err == nil && back == nil {
			e.result.OneWay = append(e.result.OneWay, spec.ID)
			continue
		}
		if err == nil {
			err = e.insist(ctx, back)
		}
		if err != nil {
			if e.stop.Err() != nil {
				return e.interrupted(spec)
			}
			return e.quarantine(spec, fmt.Errorf("taking back %s: %w", spec.Title, err))
		}
		e.result.Undone = append(e.result.Undone, spec.ID)
		_ = e.note(journal.Undone, spec.ID, nil)
	}
	return e.end()
}

// undoingFile is in memory: a reboot forgets it, and the transaction goes on then by what its
// journal says.
func (s *Store) undoingFile(id string) string { return filepath.Join(s.runDir(id), "undoing.json") }

// keepUndoing notes in memory that a transaction goes back, where the journal could not be told.
func (s *Store) keepUndoing(id string, why undoingData) {
	if durable.MkdirAll(s.runDir(id), 0o700) == nil {
		_ = writeJSON(s.undoingFile(id), why, 0o600)
	}
}

// readUndoing is what keepUndoing noted; nil: nothing.
func (s *Store) readUndoing(id string) *undoingData {
	var why undoingData
	if readJSON(s.undoingFile(id), &why) != nil {
		return nil
	}
	return &why
}

// wayBack is how a step is undone; nil: it cannot be.
func (e *engine) wayBack(spec step.Spec) (func(context.Context) error, error) {
	made, err := e.make(spec)
	if err != nil {
		return nil, err
	}
	undoer, ok := made.(step.Undoer)
	if !ok {
		return nil, nil
	}
	return func(ctx context.Context) error { return undoer.Undo(ctx, e.machine) }, nil
}

// insist tries something a few times, each for a limited time.
func (e *engine) insist(ctx context.Context, do func(context.Context) error) error {
	var err error
	for try := range backTries {
		if try > 0 {
			_ = e.store.pause(ctx, backPause)
		}
		if err = limited(ctx, backWithin, do); err == nil || e.stop.Err() != nil {
			return err
		}
	}
	return err
}

// leaveBegun has the steps of a transaction without a way back that began put right what would be left in
// its middle.
func (e *engine) leaveBegun(ctx context.Context) error {
	var errs []error
	for _, spec := range slices.Backward(e.request.Steps) {
		made, err := e.make(spec)
		leaver, ok := made.(step.Leaver)
		if err != nil || !ok || !e.past.began[spec.ID] {
			continue // what cannot be made is told where it was to be applied
		}
		if err := limited(ctx, tidyWithin, func(ctx context.Context) error { return leaver.Leave(ctx, e.machine) }); err != nil {
			errs = append(errs, fmt.Errorf("leaving %s: %w", spec.Title, err))
		}
	}
	return errors.Join(errs...)
}

// quarantine ends a transaction that is neither old nor new. Its gate stays closed.
func (e *engine) quarantine(spec step.Spec, err error) error {
	e.result.Problems = append(problems(&problem.Error{Kind: problem.Failed, Doing: "bringing back", Object: e.request.Host, Err: err,
		Fix: "look at the host, settle what stands in the way, then: valtctl repair"}), e.result.Problems...)
	e.result.Outcome, e.result.Step = Quarantined, spec.ID
	_ = e.note(journal.Failed, spec.ID, problemsData{e.result.Problems})
	return e.end()
}

// settle makes a confirmed switch final. First it is written what the host is; then the gate
// opens, which was the first to close; last comes what is only tidying: where that fails, what
// was to go stays, and the result tells of it.
func (e *engine) settle(ctx context.Context) error {
	e.result.Outcome = Done
	e.result.Changed, e.result.Unchanged = e.tally()
	if err := e.writeInstalled(); err != nil {
		return err
	}
	for _, spec := range slices.Backward(e.request.Steps) {
		admit, err := e.admission(spec)
		if err == nil && admit != nil {
			err = e.insist(ctx, admit)
		}
		if e.stop.Err() != nil {
			return e.interrupted(spec)
		}
		if err != nil {
			return e.keptOut(spec, err)
		}
	}
	for _, spec := range slices.Backward(e.request.Steps) {
		if err := e.tidy(ctx, spec); err != nil && e.stop.Err() == nil {
			e.result.Told = append(e.result.Told, fmt.Sprintf("%s: %v", spec.Title, err))
		}
		if e.stop.Err() != nil {
			return e.interrupted(spec)
		}
	}
	return e.end()
}

// admission is how a step lets in what it kept out; nil: it kept nothing out.
func (e *engine) admission(spec step.Spec) (func(context.Context) error, error) {
	made, err := e.make(spec)
	admitter, ok := made.(step.Admitter)
	if err != nil || !ok {
		return nil, err
	}
	return func(ctx context.Context) error { return admitter.Admit(ctx, e.machine) }, nil
}

// keptOut ends a transaction whose host is new, and whose gate does not open.
func (e *engine) keptOut(spec step.Spec, err error) error {
	e.result.Problems = problems(&problem.Error{Kind: problem.Failed, Doing: "letting sessions in again on", Object: e.request.Host,
		Err: fmt.Errorf("it has %s and serves, but %s: %w", e.request.Release, spec.Title, err),
		Fix: "settle what stands in the way, then: valtctl undrain " + e.request.Host})
	e.result.Outcome, e.result.Step = Quarantined, spec.ID
	_ = e.note(journal.Failed, spec.ID, problemsData{e.result.Problems})
	return e.end()
}

// tidy has a step let go of what it kept.
func (e *engine) tidy(ctx context.Context, spec step.Spec) error {
	made, err := e.make(spec)
	settler, ok := made.(step.Settler)
	if err != nil || !ok {
		return err
	}
	return limited(ctx, tidyWithin, func(ctx context.Context) error { return settler.Settle(ctx, e.machine) })
}

// tally counts the steps of a transaction whose halves are over.
func (e *engine) tally() (changed, unchanged int) {
	for _, spec := range e.request.Steps {
		if e.past.began[spec.ID] {
			changed++
		} else {
			unchanged++
		}
	}
	return changed, unchanged
}
