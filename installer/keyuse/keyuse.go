// Package keyuse is the record that a host keeps of its use by the key of unattended runs:
// what was done with that key and what was tried, when, and why it was refused. Whoever has
// stolen the key cannot avoid it and cannot push a refusal out of it by asking again. It tells
// and judges nothing: what the key may do is for package restrict, and who is told for the
// status of a site and for its schedule.
package keyuse

import (
	"slices"
	"strings"
	"time"
	"unicode"
)

// Call is what was asked for.
type Call string

// The calls.
const (
	Login   Call = "login" // refused alone: something else than the restricted agent was asked for
	Look    Call = "look"  // refused alone: at files, at the network, at what is not the update's
	Stage   Call = "stage" // the fetch half ahead of time
	Update  Call = "update"
	Resume  Call = "resume"
	Confirm Call = "confirm"
	Undo    Call = "undo"
	Answer  Call = "answer" // to a step that asks whoever follows
	Fence   Call = "fence"  // whoever held the site's lease before
	Lease   Call = "lease"  // refused alone
)

// Reason is why something was refused.
type Reason string

// The reasons.
const (
	OutsideHours Reason = "outside-hours" // no maintenance window is open, or a blackout holds
	Clock        Reason = "clock"         // the host does not believe its own clock
	NotOffered   Reason = "not-offered"   // the channel does not offer it to this site now
	Tried        Reason = "tried"         // in this window already, or too often in all
	Busy         Reason = "busy"          // a person or another run is at work, or the host is in quarantine
	Ill          Reason = "ill"           // the host's own health is not good
	Back         Reason = "back"          // to an older release than the host has
	Foreign      Reason = "foreign"       // it is not what this host would do, or not begun with this key
	Unknown      Reason = "unknown"       // it could not be judged
)

// Use is something that was asked for with the key. What is refused again within a day for the
// same reason is the same use.
type Use struct {
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Count int       `json:"count"`
	Who   string    `json:"who"` // whose key it is
	Call  Call      `json:"call"`
	// Request is the asker's own name for what it had begun: the same request asked again is the
	// same use.
	Request     string `json:"request,omitempty"`
	Release     string `json:"release,omitempty"`
	Transaction string `json:"transaction,omitempty"`
	Refused     Reason `json:"refused,omitempty"` // empty: it was done
	Text        string `json:"text,omitempty"`    // why it was refused, for people
}

// Record is what a host tells of it, newest first.
type Record struct {
	Uses []Use `json:"uses,omitempty"`
	// Trouble is why the record cannot be read; empty: it can.
	Trouble string `json:"trouble,omitempty"`
}

// Alarming says that a use was refused that no run of the schedule's own asks for: somebody else
// may have the key.
func (u Use) Alarming() bool {
	return u.Refused == OutsideHours || u.Refused == NotOffered || u.Refused == Foreign
}

// Alarming are such uses since a time, newest first.
func (r *Record) Alarming(since time.Time) []Use {
	if r == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Uses), func(u Use) bool { return !u.Alarming() || u.Last.Before(since) })
}

// words are the calls in words.
var words = map[Call]string{Login: "another program than the restricted agent", Look: "a look at what is not an update's", Stage: "fetching ahead of time",
	Update: "an update", Resume: "going on", Confirm: "a confirmation", Undo: "taking back", Answer: "an answer to a step", Fence: "announcing a run",
	Lease: "the site's lease"}

// What says what was asked for.
func (u Use) What() string {
	text, known := words[u.Call]
	if !known {
		text = string(u.Call)
	}
	if u.Release != "" {
		text += " to " + u.Release
	}
	return text
}

// maxText caps what is kept of each text that others have a part in, in bytes.
const maxText = 300

// Clean is a text of somebody who is not believed, as it may be kept and shown: on one line, as
// much of it as most bytes.
func Clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
