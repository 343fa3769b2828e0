package txn

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
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
	StateDamaged     State = "damaged"    // its files cannot be trusted; it will not be run, and what its host is must be looked at
	StateUnreadable  State = "unreadable" // its files cannot be read now: whether it runs is not known

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
	Yields     bool      `json:"yields,omitempty"`   // it is about a gate, and whoever comes next may call it off
	Site       string    `json:"site"`
	Host       string    `json:"host"`
	Release    string    `json:"release"`
	PlanDigest string    `json:"plan_digest"`
	RunID      string    `json:"run_id"`
	Who        string    `json:"who"`
	Key        string    `json:"key,omitempty"`
	Steps      int       `json:"steps"` // planned
	// Fetched says that the apply half was begun, or was about to be; Confirmed that the switch was
	// answered and is for good.
	Fetched   bool `json:"fetched,omitempty"`
	Confirmed bool `json:"confirmed,omitempty"`

	Started  time.Time `json:"started,omitzero"` // zero: not begun
	Ended    time.Time `json:"ended,omitzero"`   // zero: not over
	LastStep string    `json:"last_step,omitempty"`
	// ConfirmBy is when an unconfirmed one goes back, by the host's own clock.
	ConfirmBy time.Time `json:"confirm_by,omitzero"`
	Result    *Result   `json:"result,omitempty"` // of a finished one
	Error     string    `json:"error,omitempty"`
}

// List sums up the newest transactions of the host, newest first; all of them for 0. One
// that cannot be read is in it as damaged or unreadable. What is over is read from the summary
// that was kept then, not from its journal (Audit).
func (s *Store) List(newest int) ([]Summary, error) { return s.list(newest, s.Summary) }

// Audit is List from the journals themselves, each of which is read whole and checked.
func (s *Store) Audit(newest int) ([]Summary, error) { return s.list(newest, s.summarize) }

func (s *Store) list(newest int, sum func(id string) (Summary, error)) ([]Summary, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	if newest > 0 && len(ids) > newest {
		ids = ids[:newest]
	}
	all := make([]Summary, 0, len(ids))
	for _, id := range ids {
		t, err := sum(id)
		if err != nil {
			t.State, t.Error = s.stateUnread(id, err), err.Error()
		}
		all = append(all, t)
	}
	return all, nil
}

// stateUnread is the state of a transaction whose files could not be read. One that runs is
// running whatever its journal looks like, and only what was read and is wrong is damaged.
func (s *Store) stateUnread(id string, why error) State {
	busy, err := journal.Busy(s.journalFile(id))
	var syntax *json.SyntaxError
	switch {
	case err != nil:
		return StateUnreadable
	case busy:
		return StateRunning
	case problem.KindOf(why) == problem.Trust, errors.As(why, &syntax), errors.Is(why, io.ErrUnexpectedEOF):
		return StateDamaged
	}
	return StateUnreadable
}

// Recent are the newest transactions and, however old they are, those that tell what the host
// is: every one that is not over, and the last that was to bring it to a release.
func (s *Store) Recent(newest int) ([]Summary, error) {
	all, err := s.List(0)
	if err != nil {
		return nil, err
	}
	current := Current(all)
	var recent []Summary
	for i, t := range all {
		if i < newest || !t.State.Finished() || current != nil && t.ID == current.ID {
			recent = append(recent, t)
		}
	}
	return recent, nil
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
	if err := checkID(id); err != nil {
		return Summary{ID: id}, err
	}
	if t := s.readSummary(id); t != nil {
		return *t, nil
	}
	return s.summarize(id)
}

func (s *Store) summaryFile(id string) string { return filepath.Join(s.dir, id, "summary.json") }

// keepSummary writes down what a transaction that is over came to. Where that fails it is
// found out from the journal each time.
func (s *Store) keepSummary(id string) {
	r, err := s.request(id)
	if err != nil {
		return
	}
	t, err := s.summarizeJournal(id, r, false)
	if err == nil && t.State.Finished() {
		_ = writeJSON(s.summaryFile(id), t, 0o600)
	}
}

// readSummary is what was written down of a transaction that is over; nil: nothing, or nothing
// that can be read.
func (s *Store) readSummary(id string) *Summary {
	var t Summary
	if readJSON(s.summaryFile(id), &t) != nil || t.ID != id || !t.State.Finished() {
		return nil
	}
	return &t
}

// summarize is Summary from the journal.
func (s *Store) summarize(id string) (Summary, error) {
	r, err := s.request(id)
	if err != nil {
		return Summary{ID: id}, err
	}
	// Whether it runs is asked first: one that ends in between shows as ended.
	busy, err := journal.Busy(s.journalFile(id))
	if err != nil {
		return summaryOf(id, r), err
	}
	return s.summarizeJournal(id, r, busy)
}

// summaryOf is what a request alone tells.
func summaryOf(id string, r Request) Summary {
	return Summary{ID: id, Site: r.Site, Host: r.Host, Release: r.Release, PlanDigest: r.PlanDigest, RunID: r.RunID, Who: r.Who,
		Key: r.Key, Steps: len(r.Steps), Stage: r.Stage || r.Partial && r.ReplacedBy == "", WayBack: r.Confirm != "", Yields: r.Yields}
}

func (s *Store) summarizeJournal(id string, r Request, busy bool) (Summary, error) {
	t := summaryOf(id, r)
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
	t.State, t.Fetched, t.Confirmed = s.state(r, id, p, busy), p.fetched, p.confirmed
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
