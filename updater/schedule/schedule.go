// Package schedule keeps a site current without a person: on the host that runs it a timer
// asks every few minutes what there is to do now, and most often the answer is nothing. In
// the nights before a maintenance window it looks ahead and tells what will not work; in the
// window it rolls the newest release over the site; afterwards it tells what came of it.
// What there is to do is decided by pure arithmetic (Decide); how a release is rolled is
// for package updater.
package schedule

import (
	"time"

	"ipivs.com/valtctl/updater/window"
)

// State is what the schedule remembers between two looks at the clock.
type State struct {
	Schema string `json:"schema"`
	// Since is when the schedule was enabled: windows before it were not missed.
	Since  time.Time `json:"since,omitzero"`
	Paused *Pause    `json:"paused,omitempty"`
	// Looked is when it last looked ahead, and Found what would not work then.
	Looked time.Time `json:"looked,omitzero"`
	Found  []string  `json:"found,omitempty"`
	// Announced is the release that people know of as coming.
	Announced string `json:"announced,omitempty"`
	// Attempt is what was last done in a window.
	Attempt *Attempt `json:"attempt,omitempty"`
	// Missed is the opening of the last window whose loss was told.
	Missed time.Time `json:"missed,omitzero"`
	// Halted is the release whose rollout halted: it is not begun again by itself.
	Halted string `json:"halted,omitempty"`
	// Skipped counts the windows in a row in which a host was not quiet in time.
	Skipped map[string]int `json:"skipped,omitempty"`
	// Watched is when the other hosts were last asked what was tried with the key, and ToldUses by
	// host up to when people were told of it, by that host's clock.
	Watched  time.Time            `json:"watched,omitzero"`
	ToldUses map[string]time.Time `json:"told_uses,omitempty"`
	// Undelivered counts Unsent, the notices that could not be delivered yet. They are kept in
	// a file of their own, since their reports are long.
	Undelivered int      `json:"undelivered,omitempty"`
	Unsent      []Notice `json:"-"`
}

// Schema marks a State.
const Schema = "valtctl/schedule/v1"

// Pause is a person's word that nothing is to be begun.
type Pause struct {
	Until  time.Time `json:"until,omitzero"` // zero: until it is lifted
	Reason string    `json:"reason"`
	Who    string    `json:"who"`
}

// Attempt is what was done in one window.
type Attempt struct {
	Window time.Time `json:"window"` // when it opened
	Until  time.Time `json:"until,omitzero"`
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended,omitzero"` // zero: it is not over
	// Again is when the same window may be used once more; zero: not at all.
	Again   time.Time `json:"again,omitzero"`
	Run     string    `json:"run,omitempty"` // the rollout's; empty: none was begun
	Release string    `json:"release,omitempty"`
	Outcome string    `json:"outcome,omitempty"`
	// Resumed counts how often it was gone on with.
	Resumed int `json:"resumed,omitempty"`
}

// Offer is what the release repository and the site say.
type Offer struct {
	Release   string   // that the site file asks for
	Percent   int      // of the sites that are to have it by now
	Installed []string // of the hosts
}

// Input is everything that a decision is made of.
type Input struct {
	Now     time.Time
	Site    string // its id
	Windows window.Schedule
	State   State
	Offer   *Offer // nil: nobody has asked yet
}

// Action is what there is to do now.
type Action string

// The actions.
const (
	Nothing   Action = "nothing"
	LookAhead Action = "look-ahead" // try everything that the update needs, and change nothing that serves
	Update    Action = "update"
	Resume    Action = "resume" // go on with the rollout that was cut off
	Missed    Action = "missed" // tell that a window went by unused
)

// Decision is what to do now, and why.
type Decision struct {
	Do  Action `json:"do"`
	Why string `json:"why"`
	// Window is the one that it is about: open now, next, or missed.
	Window window.Span `json:"window,omitzero"`
	// Stage says that a look ahead may fetch, too.
	Stage bool `json:"stage,omitempty"`
}
