package txn

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// How often and after which pause taking a step back is tried before the host is
// quarantined: an engine that is just starting, a lock of another package manager.
const (
	backTries = 3
	backPause = 10 * time.Second
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
	if err := os.RemoveAll(s.keptDir(id)); err != nil {
		return fmt.Errorf("removing what was kept for the way back: %w", err)
	}
	return nil
}

// turnBack takes everything back because of err at a step, or of the whole for "".
func (e *engine) turnBack(ctx context.Context, at string, err error) error {
	if at != "" {
		if noteErr := e.note(journal.Failed, at, problemsData{problems(err)}); noteErr != nil {
			return noteErr
		}
	}
	why := undoingData{Outcome: RolledBack, Step: at, Problems: problems(err)}
	if errors.Is(err, step.ErrNotDrained) {
		why.Outcome = NotDrained
	}
	if err := e.note(journal.Undoing, "", why); err != nil {
		return err
	}
	e.past.undoing = &why
	return e.undo(ctx, why)
}

// undo takes back every step that began to change the host, the last first. What fails
// leaves those before it alone: a gate must not open in front of a host that is broken.
func (e *engine) undo(ctx context.Context, why undoingData) error {
	e.result.Outcome, e.result.Step, e.result.Problems = why.Outcome, why.Step, why.Problems
	for _, spec := range slices.Backward(e.request.Steps) {
		if !e.past.began[spec.ID] {
			continue
		}
		if ctx.Err() != nil {
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
			if ctx.Err() != nil {
				return e.interrupted(spec)
			}
			return e.quarantine(spec, fmt.Errorf("taking back %s: %w", spec.Title, err))
		}
		e.result.Undone = append(e.result.Undone, spec.ID)
		if err := e.note(journal.Undone, spec.ID, nil); err != nil {
			return err
		}
	}
	return e.end()
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

// insist tries something a few times.
func (e *engine) insist(ctx context.Context, do func(context.Context) error) error {
	var err error
	for try := range backTries {
		if try > 0 {
			_ = e.store.pause(ctx, backPause)
		}
		if err = do(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// quarantine ends a transaction that is neither old nor new. Its gate stays closed.
func (e *engine) quarantine(spec step.Spec, err error) error {
	e.result.Problems = append(problems(&problem.Error{Kind: problem.Failed, Doing: "bringing back", Object: e.request.Host, Err: err,
		Fix: "look at the host, settle what stands in the way, then: valtctl repair"}), e.result.Problems...)
	e.result.Outcome, e.result.Step = Quarantined, spec.ID
	if err := e.note(journal.Failed, spec.ID, problemsData{e.result.Problems}); err != nil {
		return err
	}
	return e.end()
}

// settle makes a confirmed switch final: what was set aside goes, and last the gate
// opens, which was the first to close.
func (e *engine) settle(ctx context.Context) error {
	e.result.Changed, e.result.Unchanged = e.tally()
	for _, spec := range slices.Backward(e.request.Steps) {
		if ctx.Err() != nil {
			return e.interrupted(spec)
		}
		made, err := e.make(spec)
		settler, ok := made.(step.Settler)
		if err == nil && !ok {
			continue
		}
		if err == nil {
			err = e.insist(ctx, func(ctx context.Context) error { return settler.Settle(ctx, e.machine) })
		}
		if err != nil {
			if ctx.Err() != nil {
				return e.interrupted(spec)
			}
			return e.quarantine(spec, fmt.Errorf("finishing %s: %w", spec.Title, err))
		}
	}
	e.result.Outcome = Done
	return e.end()
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
