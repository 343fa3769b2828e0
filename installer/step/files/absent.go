package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

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
		there, err := isThere(h, path)
		if err != nil {
			return found, fmt.Errorf("looking for %s: %w", path, err)
		}
		if !there {
			continue
		}
		found.Change = true
		found.Diff += "- " + path + "\n"
	}
	return found, nil
}

func isThere(h *step.Machine, path string) (bool, error) {
	folder, name, err := h.Files().Parent(path)
	if err == nil {
		defer folder.Close()
		_, err = folder.Lstat(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// remove takes away what a path names, and follows no link to it.
func remove(h *step.Machine, path string) error {
	folder, name, err := h.Files().Parent(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.RemoveAll(name)
}

func (a *absent) Apply(ctx context.Context, h *step.Machine) error {
	for _, unit := range a.Stop {
		if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "stop", unit}}); err != nil {
			// One that systemd never knew is as stopped as it can be.
			h.Report(step.Progress{Text: fmt.Sprintf("stopping %s: %v", unit, err)})
		}
	}
	for _, path := range a.Paths {
		if err := remove(h, path); err != nil {
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
