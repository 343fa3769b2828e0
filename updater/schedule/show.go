package schedule

import (
	"encoding/json"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/updater/window"
)

// Overview is the schedule of a site for people.
type Overview struct {
	Site    string    `json:"site"`
	Host    string    `json:"host"` // that runs it
	Enabled bool      `json:"enabled"`
	By      string    `json:"by,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Now     *Decision `json:"now,omitempty"`
	State   *State    `json:"state,omitempty"`
	Lines   []Line    `json:"-"`
}

// Line is one thing that is shown.
type Line struct{ Name, Text string }

// Show reads what a host has written down; nil: nothing.
func Show(s *site.Site, from *agent.Schedule, now time.Time) (*Overview, error) {
	shown := &Overview{Site: s.ID}
	if from == nil {
		return shown, nil
	}
	var e Enablement
	var state State
	var p Pause
	for _, part := range []struct {
		raw  json.RawMessage
		into any
	}{{from.Enabled, &e}, {from.State, &state}, {from.Pause, &p}} {
		if len(part.raw) == 0 {
			continue
		}
		if err := json.Unmarshal(part.raw, part.into); err != nil {
			return nil, fmt.Errorf("reading what the schedule of %s remembers: %w", s.ID, err)
		}
	}
	windows, err := window.Of(s.Updates)
	if err != nil {
		return nil, err
	}
	state = state.With(e, p, len(from.Pause) > 0)
	d := Decide(Input{Now: now, Site: s.ID, Windows: windows, State: state})
	shown.Enabled, shown.By, shown.Since, shown.Now, shown.State = true, e.Who, e.Since, &d, &state
	shown.Lines = lines(windows, d, state)
	return shown, nil
}

// lines are what a person wants to know, most pressing first.
func lines(w window.Schedule, d Decision, s State) []Line {
	all := []Line{{"now", string(d.Do) + ": " + d.Why}}
	add := func(name, format string, args ...any) { all = append(all, Line{name, fmt.Sprintf(format, args...)}) }
	if !d.Window.Open.IsZero() && !d.Window.Close.IsZero() && d.Do != Missed {
		add("window", "%s to %s", When(w, d.Window.Open), When(w, d.Window.Close))
	}
	for _, f := range s.Found {
		add("will not work", "%s", f)
	}
	if !s.Looked.IsZero() {
		add("looked ahead", "%s", When(w, s.Looked))
	}
	if a := s.Attempt; a != nil {
		add("last window", "%s: %s", When(w, a.Window), a.Outcome)
	}
	if s.Halted != "" {
		add("held back", "%s, whose rollout halted; valtctl schedule enable lets it be tried again", s.Halted)
	}
	for host, n := range s.Skipped {
		add("skipped", "%s in %s in a row", host, plural(n, "window"))
	}
	if n := s.Undelivered; n > 0 {
		add("not delivered", "%s", plural(n, "notice"))
	}
	return all
}
