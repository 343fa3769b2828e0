package txn

import (
	"errors"
	"fmt"

	"ipivs.com/valtctl/repos/problem"
)

// Outcome is how an execution of a transaction ended.
type Outcome string

// The outcomes. After Done and Failed the transaction is over.
const (
	Done        Outcome = "done"        // every step that could be run is as wanted
	Failed      Outcome = "failed"      // a step went wrong, and nothing after it was run
	Waiting     Outcome = "waiting"     // a person has to give its secrets again
	Interrupted Outcome = "interrupted" // the host was told to stop in its middle

	// Of a transaction with a way back; it is over then.
	RolledBack  Outcome = "rolled-back" // it failed or was not confirmed, and everything was undone
	NotDrained  Outcome = "skipped"     // recordings went on until the deadline; everything was undone
	Quarantined Outcome = "quarantined" // it could not be undone: a person must look
)

// Result is how an execution ended, and what the transaction has done by then.
type Result struct {
	Outcome   Outcome          `json:"outcome"`
	Changed   int              `json:"changed"`   // steps that changed the host, in this execution or before
	Unchanged int              `json:"unchanged"` // steps that found nothing to do
	Deferred  []string         `json:"deferred,omitempty"`
	Skipped   []string         `json:"skipped,omitempty"`
	Step      string           `json:"step,omitempty"`    // where it failed or waits
	Undone    []string         `json:"undone,omitempty"`  // steps that were taken back
	OneWay    []string         `json:"one_way,omitempty"` // steps that changed something and have no way back
	Problems  []problem.Record `json:"problems,omitempty"`
	// Told is what a person should know that made nothing fail: what was to go once the change was
	// for good and stays, a hook or a check of the site's own that was only wanted.
	Told []string `json:"told,omitempty"`
}

// Complete says whether the host is all of what was asked: done, nothing left out.
func (r Result) Complete() bool {
	return r.Outcome == Done && len(r.Deferred)+len(r.Skipped) == 0
}

// Err is what a person should be told; nil when it is done.
func (r Result) Err() error {
	if r.Outcome == Done {
		return nil
	}
	var all []error
	for _, p := range r.Problems {
		all = append(all, p.Err())
	}
	if len(all) == 0 {
		all = append(all, &problem.Error{Kind: problem.Failed, Doing: "running the transaction",
			Err: fmt.Errorf("it is %s", r.Outcome), Fix: "valtctl resume goes on with it."})
	}
	return errors.Join(all...)
}

// problems is every problem in err, as journals and results keep them.
func problems(err error) []problem.Record {
	all := problem.Records(err)
	for i := range all {
		all[i].Cause = cut(all[i].Cause)
	}
	return all
}

// maxText caps a text in a journal, in bytes, far below journal.MaxLine.
const maxText = 128 << 10

// cut shortens a text that is longer than a journal should hold.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return text[:maxText] + "\n… cut here"
}
