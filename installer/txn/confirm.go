package txn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// answerEvery is how often a switched transaction looks whether it was answered.
const answerEvery = 100 * time.Millisecond

// deadline is until when a switch must be confirmed, in the boot clock of one boot. After
// another boot the time starts anew: whoever was to confirm may have been on this host.
type deadline struct {
	BootID string        `json:"boot_id"`
	At     time.Duration `json:"at_ns"` // since that boot
}

// answer is what a controller says of a switch.
type answer struct {
	Undo string `json:"undo,omitempty"` // why it is to be taken back; empty: it is kept
}

// The deadline counts in one boot, and so it is kept in memory: no full disk may keep a host from
// going back in time.
func (s *Store) deadlineFile(id string) string { return filepath.Join(s.runDir(id), "deadline.json") }
func (s *Store) answerFile(id string) string   { return filepath.Join(s.dir, id, "answer.json") }

// awaitConfirmation waits, with the gate closed, until somebody who has seen that the host
// serves says so; then the switch is for good. Otherwise it is taken back.
func (e *engine) awaitConfirmation(ctx context.Context) error {
	within, err := time.ParseDuration(e.request.Confirm)
	if err != nil {
		return fmt.Errorf("reading how long to wait: %w", err)
	}
	if !e.past.switched {
		if err := e.note(journal.Switched, "", switchedData{e.request.Confirm}); err != nil {
			return e.turnBack(ctx, "", err)
		}
		e.past.switched = true
	}
	until, err := e.store.arm(e.id, e.machine.BootID, within)
	if err != nil {
		return err
	}
	said, err := e.store.awaitAnswer(ctx, e.id, until)
	switch {
	case ctx.Err() != nil:
		e.result.Outcome = Interrupted
		return e.note(journal.Interrupted, "", nil)
	case err != nil:
		return e.turnBack(ctx, "", err)
	case said == nil:
		return e.turnBack(ctx, "", notConfirmed(fmt.Errorf("nobody confirmed the switch within %s", e.request.Confirm)))
	case said.Undo != "":
		return e.turnBack(ctx, "", notConfirmed(errors.New(said.Undo)))
	}
	return e.confirm(ctx)
}

// confirm makes a switch that was answered final. Where that cannot be written down it is confirmed
// all the same: the answer is on the disk, and this is tried again.
func (e *engine) confirm(ctx context.Context) error {
	if err := e.note(journal.Confirmed, "", nil); err != nil {
		return err
	}
	e.past.confirmed = true
	return e.settle(ctx)
}

// isKept says whether a switch was answered that it is kept, by an answer that an execution before
// this one did not come to write down. From then on nothing takes it back.
func (e *engine) isKept() (bool, error) {
	if !e.past.switched || e.past.undoing != nil {
		return false, nil
	}
	said, err := e.store.readAnswer(e.id)
	return said != nil && said.Undo == "", err
}

// calledOff ends a transaction that was told to go back before it has switched the host.
// It is asked where nothing is in its middle, and while the host serves as before.
func (e *engine) calledOff(ctx context.Context) (bool, error) {
	if !e.request.mayBeCalledOff() {
		return false, nil
	}
	said, err := e.store.readAnswer(e.id)
	if err != nil || said == nil || said.Undo == "" {
		return false, err
	}
	return true, e.callOff(ctx, e.request.wasCalledOff(said.Undo))
}

// wasCalledOff is why a transaction ends that was told to.
func (r Request) wasCalledOff(why string) error {
	p := &problem.Error{Kind: problem.Failed, Doing: "changing", Object: r.Host, Err: errors.New(why),
		Fix: "nothing that serves was changed; begin anew with: valtctl update"}
	if r.Yields {
		p.Doing, p.Fix = "draining host", "valtctl status tells whether it takes sessions"
	}
	return p
}

// calledOffEvery is how often a transaction that yields looks in a step's middle whether it is to.
const calledOffEvery = time.Second

// untilCalledOff is a context that also ends, with the reason, once somebody calls the transaction off. The
// function ends the looking.
func (e *engine) untilCalledOff(ctx context.Context) (context.Context, func()) {
	if !e.request.Yields {
		return ctx, func() {}
	}
	return sleep.Watched(ctx, calledOffEvery, func() error {
		if said, err := e.store.readAnswer(e.id); err == nil && said != nil && said.Undo != "" {
			return e.request.wasCalledOff(said.Undo)
		}
		return nil
	})
}

// callOff ends a transaction that has not begun to change what serves.
func (e *engine) callOff(ctx context.Context, why error) error {
	if e.hasWayBack() {
		return e.turnBack(ctx, "", why)
	}
	e.result.Outcome, e.result.Problems = Failed, problems(errors.Join(why, e.leaveBegun(ctx)))
	return e.end()
}

func notConfirmed(why error) error {
	return &problem.Error{Kind: problem.Failed, Doing: "confirming the switch", Err: why,
		Fix: "the host is as it was before; read what it says: valtctl logs, valtctl report"}
}

// arm is the deadline of this boot; one that runs already is kept.
func (s *Store) arm(id, boot string, within time.Duration) (time.Duration, error) {
	var d deadline
	err := readJSON(s.deadlineFile(id), &d)
	if err == nil && d.BootID == boot {
		return d.At, nil
	}
	now, err := s.uptime()
	if err != nil {
		return 0, err
	}
	d = deadline{boot, now + within}
	// Where it cannot be kept it counts all the same, for as long as this program runs.
	if durable.MkdirAll(s.runDir(id), 0o700) == nil {
		_ = writeJSON(s.deadlineFile(id), d, 0o600)
	}
	return d.At, nil
}

// confirmBy is when an unconfirmed transaction goes back, by the wall clock; zero: it cannot
// be told. After a reboot the time begins anew within seconds.
func (s *Store) confirmBy(id string, r Request) time.Time {
	within, err := time.ParseDuration(r.Confirm)
	if err != nil {
		return time.Time{}
	}
	left := within
	var d deadline
	if err := readJSON(s.deadlineFile(id), &d); err == nil {
		now, err := s.uptime()
		if err != nil {
			return time.Time{}
		}
		left = min(max(0, d.At-now), within)
	}
	return s.now().UTC().Add(left)
}

// awaitAnswer is what somebody said until then; nil: nobody did.
func (s *Store) awaitAnswer(ctx context.Context, id string, until time.Duration) (*answer, error) {
	for ctx.Err() == nil {
		said, err := s.readAnswer(id)
		if said != nil || err != nil {
			return said, err
		}
		now, err := s.uptime()
		if err != nil || now >= until {
			return nil, err
		}
		_ = s.pause(ctx, min(answerEvery, until-now))
	}
	return nil, ctx.Err()
}

func (s *Store) readAnswer(id string) (*answer, error) {
	var said answer
	err := readJSON(s.answerFile(id), &said)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &said, nil
}

// Confirm answers a transaction that has switched its host: it is kept, or with undo
// taken back for that reason. One that was confirmed before is no error; one that went
// back already is. With undo it may also come before the switch: what is still fetching
// ends there, and an apply half that has begun is done first and taken back then; one that yields ends
// where it is.
func (s *Store) Confirm(id, undo string) error {
	r, err := s.request(id)
	if err != nil {
		return err
	}
	records, _, err := journal.ReadFile(s.journalFile(id))
	if err != nil {
		return fmt.Errorf("confirming transaction %s: %w", id, err)
	}
	no := func(why string) error {
		return &problem.Error{Kind: problem.Failed, Doing: "confirming transaction", Object: id, Err: errors.New(why),
			Fix: "valtctl status shows what the host is now"}
	}
	switch p := readPast(records); {
	case undo == "" && p.confirmed:
		return nil
	case p.confirmed:
		return no("it was confirmed already, so it cannot be taken back; valtctl rollback is the way")
	case p.undoing != nil || p.end != nil:
		return no("it went back already")
	case !r.mayBeCalledOff():
		return no("it has no way back; valtctl resume finishes it")
	case !p.switched && undo == "":
		return no("it has not switched the host yet")
	}
	return writeJSON(s.answerFile(id), answer{undo}, 0o600)
}

// uptime reads the host's boot clock (proc_uptime(5): seconds since boot, suspended time
// included).
func uptime(path string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("reading the boot clock: %w", err)
	}
	word, _, _ := strings.Cut(string(text), " ")
	seconds, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return 0, fmt.Errorf("reading the boot clock: %w", err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
