package docker

import (
	"context"
	"errors"
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

// How long the last look of a way back waits for recordings to end, and how often it asks an
// engine that gives no sensible answer.
const (
	awaitQuietWithin = 30 * time.Minute
	muteTries        = 5
)

// Await is the last look of a way back: it waits while something is recorded, since going back is
// never worth a recording, and no longer than there is hope that it ends. What becomes of an
// engine that gives no sensible answer is for mute to say; nil: nothing is stopped.
func (l *LastLook) Await(ctx context.Context, h *step.Machine, quiet time.Duration, what string, mute func(error) error) error {
	if l == nil {
		return nil
	}
	began, silent := h.Now(), 0
	for {
		busy, err := wowza.Quiet(ctx, l.Engine, h.Root, quiet)
		switch {
		case err == nil && len(busy) == 0:
			return nil
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			if silent++; silent < muteTries {
				break
			}
			if mute == nil {
				return fmt.Errorf("looking for recordings before stopping %s: %w", what, err)
			}
			return mute(err)
		case h.Now().Sub(began) >= awaitQuietWithin:
			return &problem.Error{Kind: problem.Halted, Doing: "going back, stopping", Object: what,
				Err: fmt.Errorf("%w for %s: %s", step.ErrNotDrained, awaitQuietWithin, recorderNames(busy)),
				Fix: "when they have ended: valtctl repair"}
		default:
			silent = 0
			h.Report(step.Progress{Text: "waiting for the end of recordings: " + recorderNames(busy)})
		}
		if err := sleep.For(ctx, time.Second); err != nil {
			return err
		}
	}
}

// awaitQuiet waits before a container is stopped on the way back. An engine that says nothing
// sensible is why one goes back: where the gate has been closed since before it was started
// (was), it has admitted nobody, and what it does not say cannot be a recording.
func (c *containerStep) awaitQuiet(ctx context.Context, h *step.Machine, was *former) error {
	return c.LastLook.Await(ctx, h, c.quiet, "container "+c.Name, func(err error) error { return c.judgeMute(h, was, err) })
}

// judgeMute says whether an engine that cannot be asked may be stopped on the way back.
func (c *containerStep) judgeMute(h *step.Machine, was *former, mute error) error {
	shut, err := gateIsShut(h)
	if err == nil && shut && was.Shut {
		h.Report(step.Progress{Text: "the new engine gives no sensible answer; it has admitted nobody, so nothing is lost with it"})
		return nil
	}
	return errors.Join(fmt.Errorf("looking for recordings before stopping %s: %w", c.Name, mute), err)
}

func recorderNames(all []wowza.Recorder) string {
	var names []string
	for _, r := range all {
		names = append(names, r.Name+" ("+r.State+")")
	}
	return strings.Join(names, ", ")
}
