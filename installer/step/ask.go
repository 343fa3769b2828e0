package step

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Question is what a host asks whoever follows its transaction in the middle of a step: what
// it cannot find out alone.
type Question string

// The questions.
const (
	Reachable Question = "reachable" // can a new connection to this host be opened?
	Quiet     Question = "quiet"     // is nothing recorded on the site's other hosts?
)

// Answer is what a controller says to a host that asks.
type Answer struct {
	Nonce string `json:"nonce"` // from Progress.Confirm
	// Refused, if set, is why the answer is no.
	Refused string `json:"refused,omitempty"`
}

// A question's files are in memory: a reboot in its middle ends it. There is one at a time,
// as there is one transaction.
const (
	askFolder   = "/run/valtctl/ask"
	askFile     = askFolder + "/asked"
	answerFile  = askFolder + "/answer.json"
	answerEvery = 100 * time.Millisecond
)

// Ask asks whoever follows, and waits for the answer: an error where that is no, nobody
// answers in time (ErrNoAnswer), or it cannot be asked.
func Ask(ctx context.Context, h *Machine, q Question, text string, within time.Duration) (refused string, err error) {
	nonce := rand.Text()
	if err := errors.Join(os.MkdirAll(h.Path(askFolder), 0o700), removeIfThere(h.Path(answerFile))); err != nil {
		return "", fmt.Errorf("asking who follows: %w", err)
	}
	defer os.RemoveAll(h.Path(askFolder))
	if err := os.WriteFile(h.Path(askFile), []byte(nonce), 0o600); err != nil {
		return "", fmt.Errorf("asking who follows: %w", err)
	}
	h.Report(Progress{Text: text, Confirm: nonce, Question: q})
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(answerEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for an answer: %w", ctx.Err())
		case <-deadline.C:
			return "", fmt.Errorf("%w within %s", ErrNoAnswer, within)
		case <-tick.C:
		}
		a, err := readAnswer(h, nonce)
		if err != nil {
			return "", err
		}
		if a != nil {
			return a.Refused, nil
		}
	}
}

// ErrNoAnswer says that nobody who follows answered a question.
var ErrNoAnswer = errors.New("nobody who follows this host answered")

// HandAnswer hands an answer to the question that it is to. One that is over, or another one,
// is an error.
func HandAnswer(h *Machine, a Answer) error {
	asked, err := os.ReadFile(h.Path(askFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("answering: %w", err)
	}
	if a.Nonce == "" || string(asked) != a.Nonce {
		return errors.New("answering: this host does not ask that now")
	}
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	pending := h.Path(answerFile) + ".new"
	if err := os.WriteFile(pending, text, 0o600); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return os.Rename(pending, h.Path(answerFile))
}

// readAnswer is the controller's, nil until there is one.
func readAnswer(h *Machine, nonce string) (*Answer, error) {
	text, err := ReadIfThere(h.Path(answerFile))
	if err != nil || text == nil {
		return nil, err
	}
	var a Answer
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if a.Nonce != nonce {
		return nil, nil
	}
	return &a, nil
}

func removeIfThere(full string) error {
	if err := os.Remove(full); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
