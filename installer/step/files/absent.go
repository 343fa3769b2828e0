package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"ipivs.com/valtctl/installer/step"
)

// AbsentParams are files and folders that are not to be there any more.
type AbsentParams struct {
	Paths []string `json:"paths"`
	// Stop are the units among them: they are stopped first.
	Stop []string `json:"stop,omitempty"`
}

// KindAbsent names what AbsentKind makes.
const KindAbsent step.KindName = "absent"

// AbsentKind removes what valtctl has put on a host and has no use any more.
func AbsentKind() step.Kind {
	return step.KindOf(KindAbsent, step.OneWay, func(p AbsentParams) (step.Step, error) {
		for _, path := range p.Paths {
			if err := step.CleanPath(path); err != nil {
				return nil, err
			}
			if len(path) < 2 {
				return nil, fmt.Errorf("checking the path %q: it is too much to remove", path)
			}
		}
		return &absent{p}, nil
	})
}

type absent struct{ AbsentParams }

func (a *absent) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	found := step.Finding{Disrupts: step.Nothing}
	for _, path := range a.Paths {
		_, err := os.Lstat(h.Path(path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return found, fmt.Errorf("looking at %s: %w", path, err)
		}
		found.Change = true
		found.Diff += "- " + path + "\n"
	}
	return found, nil
}

func (a *absent) Apply(ctx context.Context, h *step.Machine) error {
	for _, unit := range a.Stop {
		if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "stop", unit}}); err != nil {
			// One that systemd never knew is as stopped as it can be.
			h.Report(step.Progress{Text: fmt.Sprintf("stopping %s: %v", unit, err)})
		}
	}
	for _, path := range a.Paths {
		if err := os.RemoveAll(h.Path(path)); err != nil {
			return fmt.Errorf("removing %s: %w", path, err)
		}
	}
	if len(a.Stop) == 0 {
		return nil
	}
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of what was removed: %w", err)
	}
	return nil
}
