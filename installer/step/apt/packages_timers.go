package apt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
)

// timersMarker lists the timers that a transaction stopped and has not started again.
// It is below /run because a reboot starts them anyway.
const timersMarker = "/run/valtctl/apt-timers-stopped"

// stoppedTimers reads the marker; nothing where no run was interrupted.
func stoppedTimers(h *step.Machine) ([]string, error) {
	text, err := step.ReadIfThere(h.Path(timersMarker))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", timersMarker, err)
	}
	return strings.Fields(string(text)), nil
}

// pauseTimers stops the timers that start apt by themselves, so that only what already
// runs must be waited for, and returns what starts them again. The marker is written before they are
// stopped: whoever kills this process in between, the next Apply starts them.
func pauseTimers(ctx context.Context, h *step.Machine) (restart func() error, err error) {
	if _, err := os.Stat(h.Path("/run/systemd/system")); errors.Is(err, fs.ErrNotExist) {
		return func() error { return nil }, nil
	}
	timers, err := stoppedTimers(h)
	if err != nil {
		return nil, err
	}
	active, err := activeTimers(ctx, h)
	if err != nil {
		return nil, err
	}
	for _, timer := range active {
		timers = appendNew(timers, timer)
	}
	restart = func() error { return startTimers(context.WithoutCancel(ctx), h, timers) }
	if len(active) == 0 {
		return restart, nil
	}
	if err := step.WriteFile(h, timersMarker, []byte(strings.Join(timers, "\n")+"\n"), step.Owner{Mode: 0o644}); err != nil {
		return nil, err
	}
	if err := step.Systemctl(ctx, h, append([]string{"stop"}, active...)); err != nil {
		return nil, errors.Join(err, restart())
	}
	return restart, nil
}

func activeTimers(ctx context.Context, h *step.Machine) ([]string, error) {
	out, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "list-units", "--plain", "--no-legend", "--state=active",
		"apt-daily.timer", "apt-daily-upgrade.timer"}})
	if err != nil {
		return nil, fmt.Errorf("looking at apt's timers: %w", err)
	}
	var active []string
	for line := range strings.Lines(string(out.Stdout)) {
		if words := strings.Fields(line); len(words) > 0 {
			active = append(active, words[0])
		}
	}
	return active, nil
}

// startTimers starts them and only then forgets that they were stopped.
func startTimers(ctx context.Context, h *step.Machine, timers []string) error {
	if len(timers) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := step.Systemctl(ctx, h, append([]string{"start"}, timers...)); err != nil {
		return err
	}
	if err := durable.Remove(h.Path(timersMarker)); err != nil {
		return fmt.Errorf("forgetting the stopped timers: %w", err)
	}
	return nil
}

// appendNew appends a word unless it is there.
func appendNew(words []string, word string) []string {
	if slices.Contains(words, word) {
		return words
	}
	return append(words, word)
}
