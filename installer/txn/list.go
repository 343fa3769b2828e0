package txn

import (
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
)

// State is what a transaction is at now.
type State string

// The states.
const (
	StateRunning     State = "running"
	StateWaiting     State = "waiting"     // for a person to give its secrets again
	StateInterrupted State = "interrupted" // nothing runs it; the boot unit or a person goes on
	StateFailed      State = "failed"
	StateDone        State = "done"
	StateDamaged     State = "damaged" // its files cannot be trusted; it will not be run

	StateUnconfirmed State = "unconfirmed" // switched; it goes back unless confirmed in time
	StateRolledBack  State = "rolled-back"
	StateNotDrained  State = "skipped"
	StateQuarantined State = "quarantined"
)

// Finished says that nothing more will come of it.
func (s State) Finished() bool {
	switch s {
	case StateDone, StateFailed, StateDamaged, StateRolledBack, StateNotDrained, StateQuarantined:
		return true
	}
	return false
}

// Summary is one transaction in short.
type Summary struct {
	ID         string    `json:"id"`
	State      State     `json:"state"`
	Half       step.Half `json:"half,omitempty"`     // of an unfinished one: which it is in
	Undoing    bool      `json:"undoing,omitempty"`  // an unfinished one is being taken back
	Stage      bool      `json:"stage,omitempty"`    // it brings the host to no release: it only fetches ahead of time, or drains
	WayBack    bool      `json:"way_back,omitempty"` // it can be taken back until it is confirmed
	Site       string    `json:"site"`
	Host       string    `json:"host"`
	Release    string    `json:"release"`
	PlanDigest string    `json:"plan_digest"`
	RunID      string    `json:"run_id"`
	Who        string    `json:"who"`
	Steps      int       `json:"steps"` // planned

	Started  time.Time `json:"started,omitzero"` // zero: not begun
	Ended    time.Time `json:"ended,omitzero"`   // zero: not over
	LastStep string    `json:"last_step,omitempty"`
	// ConfirmBy is when an unconfirmed one goes back, by the host's own clock.
	ConfirmBy time.Time `json:"confirm_by,omitzero"`
	Result    *Result   `json:"result,omitempty"` // of a finished one
	Error     string    `json:"error,omitempty"`
}

// List sums up the newest transactions of the host, newest first; all of them for 0. One
// that cannot be read is in it as damaged.
func (s *Store) List(newest int) ([]Summary, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	if newest > 0 && len(ids) > newest {
		ids = ids[:newest]
	}
	all := make([]Summary, 0, len(ids))
	for _, id := range ids {
		t, err := s.Summary(id)
		if err != nil {
			t.State, t.Error = StateDamaged, err.Error()
		}
		all = append(all, t)
	}
	return all, nil
}

// Current is the transaction that says what a host is at, of all of its own, newest first: an
// unfinished one, else the last that was to bring it to a release. Nil: there is none.
func Current(all []Summary) *Summary {
	for i := range all {
		if !all[i].State.Finished() {
			return &all[i]
		}
	}
	for i := range all {
		if !all[i].Stage {
			return &all[i]
		}
	}
	return nil
}

// Summary sums up one transaction.
func (s *Store) Summary(id string) (Summary, error) {
	t := Summary{ID: id}
	r, err := s.request(id)
	if err != nil {
		return t, err
	}
	t.Site, t.Host, t.Release, t.PlanDigest = r.Site, r.Host, r.Release, r.PlanDigest
	t.RunID, t.Who, t.Steps = r.RunID, r.Who, len(r.Steps)
	t.Stage, t.WayBack = r.Stage || r.Partial, r.Confirm != ""
	// Whether it runs is asked first: one that ends in between shows as ended.
	busy, err := journal.Busy(s.journalFile(id))
	if err != nil {
		return t, err
	}
	records, _, err := journal.ReadFile(s.journalFile(id))
	if err != nil {
		return t, err
	}
	of := journal.Summarize(records)
	t.Started, t.Ended = of.Started, of.Ended
	if n := len(of.Steps); n > 0 {
		t.LastStep = lastStep(records)
	}
	p := readPast(records)
	t.State = s.state(r, id, p, busy)
	if !t.State.Finished() {
		t.Half = step.Fetch
		if p.fetched {
			t.Half = step.Apply
		}
		t.Undoing = p.undoing != nil
	}
	if t.State == StateUnconfirmed {
		t.ConfirmBy = s.confirmBy(id, r)
	}
	if t.Result = p.end; p.end != nil && p.end.Err() != nil {
		t.Error = p.end.Err().Error()
	}
	return t, nil
}

func (s *Store) state(r Request, id string, p past, busy bool) State {
	switch {
	case p.end != nil && p.end.Outcome == Done:
		return StateDone
	case p.end != nil && p.end.Outcome == RolledBack:
		return StateRolledBack
	case p.end != nil && p.end.Outcome == NotDrained:
		return StateNotDrained
	case p.end != nil && p.end.Outcome == Quarantined:
		return StateQuarantined
	case p.end != nil:
		return StateFailed
	case p.switched && !p.confirmed && p.undoing == nil:
		return StateUnconfirmed // also when nothing runs it for a moment: it goes on by itself
	case busy:
		return StateRunning
	case p.last == journal.Waiting:
		return StateWaiting
	}
	if _, gone := s.missing(id, r); gone && !p.fetched {
		return StateWaiting
	}
	return StateInterrupted
}

func lastStep(records []journal.Record) string {
	for i := len(records) - 1; i >= 0; i-- {
		if records[i].Step != "" {
			return records[i].Step
		}
	}
	return ""
}
