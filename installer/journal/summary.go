package journal

import (
	"slices"
	"time"
)

// Summary is what a journal comes to.
type Summary struct {
	Started time.Time     `json:"started"`
	Ended   time.Time     `json:"ended,omitzero"` // zero: there is no end record
	Last    Kind          `json:"last"`           // the last record's kind
	Resumed int           `json:"resumed"`        // how often it went on after a cut
	Steps   []StepSummary `json:"steps"`          // in the order they were first met
}

// StepSummary is what became of one step.
type StepSummary struct {
	Step     string        `json:"step"`
	Outcome  Kind          `json:"outcome"`  // Apply: begun, and nothing more is known
	Duration time.Duration `json:"duration"` // from its last Apply record to its outcome, in nanoseconds
	Applies  int           `json:"applies"`  // how often it began to change the host
}

// Summarize sums up a journal's records. A step's time is the wall clock's, so a clock
// that was set in between shows in it; it is never below zero.
func Summarize(records []Record) Summary {
	var s Summary
	began := map[string]time.Time{}
	for i, r := range records {
		if i == 0 {
			s.Started = r.Time
		}
		s.Last = r.Kind
		switch r.Kind {
		case Resumed:
			s.Resumed++
		case End:
			s.Ended = r.Time
		}
		if r.Step == "" {
			continue
		}
		of := s.step(r.Step)
		of.Outcome = r.Kind
		switch r.Kind {
		case Apply:
			of.Applies++
			began[r.Step] = r.Time
		case Applied, Failed:
			if from, ok := began[r.Step]; ok {
				of.Duration = max(0, r.Time.Sub(from))
			}
		}
	}
	return s
}

// step is the summary of one step, made if it is new.
func (s *Summary) step(id string) *StepSummary {
	i := slices.IndexFunc(s.Steps, func(o StepSummary) bool { return o.Step == id })
	if i < 0 {
		i = len(s.Steps)
		s.Steps = append(s.Steps, StepSummary{Step: id})
	}
	return &s.Steps[i]
}
