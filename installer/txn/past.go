package txn

import (
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// What the records of a transaction carry beside step.Finding.
type (
	beginData struct {
		Site       string `json:"site"`
		Host       string `json:"host"`
		Release    string `json:"release"`
		PlanDigest string `json:"plan_digest"`
		RunID      string `json:"run_id"`
		Who        string `json:"who"`
		BootID     string `json:"boot_id"`
	}
	resumedData struct {
		BootID string `json:"boot_id"`
	}
	suppliedData struct {
		Secrets []string `json:"secrets,omitempty"` // names
	}
	halfData struct {
		Half step.Half `json:"half"`
	}
	reasonData struct {
		Reason string `json:"reason"`
	}
	problemsData struct {
		Problems []problem.Record `json:"problems"`
	}
	switchedData struct {
		Within string `json:"within"` // a Go duration
	}
	// undoingData says why a transaction is taken back and what it will have come to.
	undoingData struct {
		Outcome  Outcome          `json:"outcome"`
		Step     string           `json:"step,omitempty"`
		Problems []problem.Record `json:"problems"`
	}
)

// past is what a journal says of a transaction so far.
type past struct {
	fetched bool                    // its fetch half was done, and nothing of it was missed since
	outcome map[string]journal.Kind // the last record of each step
	began   map[string]bool         // steps that began to change the host
	last    journal.Kind            // of the last record; empty before the first
	boots   map[string]bool         // the boots in which it was begun or gone on with

	switched  bool         // everything was done once
	confirmed bool         // and is for good
	undoing   *undoingData // it is being taken back
	end       *Result      // how it ended; nil: it has not
}

func readPast(records []journal.Record) past {
	p := past{outcome: map[string]journal.Kind{}, began: map[string]bool{}, boots: map[string]bool{}}
	for _, r := range records {
		p.last = r.Kind
		if r.Step != "" {
			p.outcome[r.Step] = r.Kind
		}
		switch r.Kind {
		case journal.Begin, journal.Resumed:
			var d resumedData // both have it under the same name
			if r.Decode(&d) == nil {
				p.boots[d.BootID] = true
			}
		case journal.Apply:
			p.began[r.Step] = true
		case journal.HalfDone:
			var d halfData
			p.fetched = p.fetched || r.Decode(&d) == nil && d.Half == step.Fetch
		case journal.Waiting: // what was fetched is not all there
			p.fetched = false
		case journal.Switched:
			p.switched = true
		case journal.Confirmed:
			p.confirmed = true
		case journal.Undoing:
			p.undoing = undoingOf(r)
		case journal.End:
			p.end = endOf(r)
		}
	}
	return p
}

// undoingOf is why a transaction is taken back. A record that cannot be read still says
// that it is.
func undoingOf(r journal.Record) *undoingData {
	var d undoingData
	if err := r.Decode(&d); err != nil {
		return &undoingData{Outcome: RolledBack, Problems: problems(err)}
	}
	return &d
}

// endOf is the result in an end record. One that cannot be read still is an end.
func endOf(r journal.Record) *Result {
	var result Result
	if err := r.Decode(&result); err != nil {
		return &Result{Outcome: Failed, Problems: problems(err)}
	}
	return &result
}

// noteTorn records that a torn last line was dropped, if one was.
func noteTorn(w *journal.Writer, torn *journal.Torn) error {
	if torn == nil {
		return nil
	}
	_, err := w.Append(journal.Dropped, "", torn)
	return err
}
