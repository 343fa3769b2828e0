package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// LastLook is the look at the recorders right before something that records is stopped.
// It is on the host and next to the stop: between the end of a drain and this moment a
// recording may have been begun on a way that nobody thought of.
type LastLook struct {
	Engine wowza.Access `json:"engine"`
	Quiet  string       `json:"quiet"` // between its two readings, a Go duration
}

// Between is the time between the two readings; 0 without a look.
func (l *LastLook) Between() (time.Duration, error) {
	if l == nil {
		return 0, nil
	}
	quiet, err := time.ParseDuration(l.Quiet)
	if err != nil {
		return 0, fmt.Errorf("reading how the recorders are looked at: %w", err)
	}
	return quiet, nil
}

// Refuse refuses to stop something while recordings go on, or where that is not known.
func (l *LastLook) Refuse(ctx context.Context, h *step.Machine, quiet time.Duration, what string) error {
	if l == nil {
		return nil
	}
	busy, err := wowza.Quiet(ctx, l.Engine, h.Root, quiet)
	if err != nil {
		return &problem.Error{Kind: problem.Failed, Doing: "looking for recordings before stopping", Object: what, Err: err,
			Fix: "what is recorded is not known, so nothing was stopped; look at the media engine: valtctl logs"}
	}
	if len(busy) > 0 {
		return &problem.Error{Kind: problem.Halted, Doing: "stopping", Object: what,
			Err: fmt.Errorf("%w: %s", step.ErrNotDrained, recorderNames(busy)), Fix: "run the command again when they have ended"}
	}
	return nil
}

func (c *containerStep) lastLook(ctx context.Context, h *step.Machine) error {
	return c.LastLook.Refuse(ctx, h, c.quiet, "container "+c.Name)
}

// awaitQuiet is the last look of a way back: it waits for as long as something is recorded,
// since going back is never worth a recording.
func (c *containerStep) awaitQuiet(ctx context.Context, h *step.Machine) error {
	if c.LastLook == nil {
		return nil
	}
	for {
		busy, err := wowza.Quiet(ctx, c.LastLook.Engine, h.Root, c.quiet)
		if err != nil {
			return fmt.Errorf("looking for recordings before stopping %s: %w", c.Name, err)
		}
		if len(busy) == 0 {
			return nil
		}
		h.Report(step.Progress{Text: "waiting for the end of recordings: " + recorderNames(busy)})
		if err := sleep.For(ctx, time.Second); err != nil {
			return err
		}
	}
}

func recorderNames(all []wowza.Recorder) string {
	var names []string
	for _, r := range all {
		names = append(names, r.Name+" ("+r.State+")")
	}
	return strings.Join(names, ", ")
}
