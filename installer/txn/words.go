package txn

import (
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
)

// Words say for people what a transaction is at, or what it came to and why.
func (t Summary) Words() string {
	switch t.State {
	case StateRunning:
		return t.doing()
	case StateWaiting:
		return fmt.Sprintf("fetching %s waits to be given its secrets again", t.Release)
	case StateInterrupted:
		return fmt.Sprintf("%s, cut off at %s", t.doing(), orWord(t.LastStep, "its beginning"))
	case StateUnconfirmed:
		return t.unconfirmed()
	case StateRolledBack:
		return fmt.Sprintf("went back from %s: %s", t.Release, t.why())
	case StateNotDrained:
		return fmt.Sprintf("%s was not begun: %s", t.Release, t.why())
	case StateQuarantined:
		return fmt.Sprintf("in quarantine, neither what it was nor %s: %s", t.Release, t.why())
	case StateFailed:
		return fmt.Sprintf("%s failed: %s", t.Release, t.why())
	case StateUnreadable:
		return "its records cannot be read now, so whether it runs is not known: " + t.why()
	case StateDamaged:
		return "its records are damaged: " + t.why()
	}
	return t.left()
}

func (t Summary) doing() string {
	switch {
	case t.Undoing:
		return "going back from " + t.Release
	case t.Half == step.Fetch:
		return "fetching " + t.Release
	case t.Stage:
		return "opening or closing the gate"
	}
	return "changing to " + t.Release
}

// unconfirmed says who waits, and until when.
func (t Summary) unconfirmed() string {
	text := fmt.Sprintf("switched to %s, and %s has not confirmed it", t.Release, orWord(t.Who, "nobody known"))
	if t.ConfirmBy.IsZero() {
		return text
	}
	return text + "; it goes back at " + t.ConfirmBy.UTC().Format(time.DateTime) + " UTC"
}

// left is what a finished one did not do; empty where it did all.
func (t Summary) left() string {
	if t.Result == nil {
		return ""
	}
	var words []string
	if n := len(t.Result.Deferred); n > 0 {
		words = append(words, fmt.Sprintf("%d steps left for an update", n))
	}
	if n := len(t.Result.Skipped); n > 0 {
		words = append(words, fmt.Sprintf("%d steps skipped", n))
	}
	return strings.Join(words, ", ")
}

// why is the first line of what went wrong.
func (t Summary) why() string {
	text := t.Error
	if t.Result != nil && len(t.Result.Problems) > 0 && t.Result.Problems[0].Cause != "" {
		text = t.Result.Problems[0].Cause
	}
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if first == "" {
		return "no reason was given"
	}
	return first
}

func orWord(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
