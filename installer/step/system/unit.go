// Package system holds the steps about the host's own system: systemd's units and timers, the
// clock, the authorities that it trusts, the dongle in its port and its reboot. Whether a host
// wants a reboot is for its packages to say (package apt); when it may have one is the plan's.
package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/repos/durable"
)

const unitFolder = "/etc/systemd/system"

// UnitParams is one systemd unit, or a drop-in when Name has a folder
// ("docker.service.d/valt.conf").
type UnitParams struct {
	Name    string `json:"name"`
	Content string `json:"content"`
	// WantedBy is the unit whose .wants folder enables this one; empty: not enabled.
	WantedBy string `json:"wanted_by,omitempty"`
}

// KindUnit names what UnitKind makes.
const KindUnit step.KindName = "unit"

// UnitKind writes systemd units and enables them (systemd.unit(5)). It starts nothing.
func UnitKind() step.Kind {
	return step.KindOf(KindUnit, step.Reversible, func(p UnitParams) (step.Step, error) { return NewUnit(p) })
}

// Unit is a unit's file and the link that enables it.
type Unit struct {
	*files.File
	Link string // the enabling symlink, or empty
}

// NewUnit is the step that KindUnit names.
func NewUnit(p UnitParams) (*Unit, error) {
	f, err := files.NewFile(files.FileParams{Path: path.Join(unitFolder, p.Name), Mode: "0644", Content: p.Content})
	if err != nil {
		return nil, err
	}
	if strings.Count(p.Name, "/") > 1 || strings.Contains(p.Name, "..") {
		return nil, fmt.Errorf("reading the unit's name: %q is neither a unit nor a drop-in", p.Name)
	}
	u := &Unit{File: f}
	if p.WantedBy != "" {
		u.Link = path.Join(unitFolder, p.WantedBy+".wants", p.Name)
	}
	return u, nil
}

func (u *Unit) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	found, err := u.File.Inspect(ctx, h)
	if err != nil {
		return step.Finding{}, err
	}
	if enabled, err := u.enabled(h); err != nil || enabled {
		return found, err
	}
	found.Change = true
	found.Diff += fmt.Sprintf("+ %s -> %s\n", u.Link, u.Path)
	return found, nil
}

func (u *Unit) Apply(ctx context.Context, h *step.Machine) error {
	if err := u.File.Apply(ctx, h); err != nil {
		return err
	}
	if err := u.enable(h); err != nil {
		return err
	}
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of %s: %w", u.Path, err)
	}
	return nil
}

// Undo puts back the unit and whether it was enabled.
func (u *Unit) Undo(ctx context.Context, h *step.Machine) error {
	any, err := step.PutBack(h)
	if err != nil || !any {
		return err
	}
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of %s: %w", u.Path, err)
	}
	return nil
}

func (u *Unit) enabled(h *step.Machine) (bool, error) {
	if u.Link == "" {
		return true, nil
	}
	target, err := os.Readlink(h.Path(u.Link))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking whether %s is enabled: %w", u.Path, err)
	}
	return target == u.Path, nil
}

func (u *Unit) enable(h *step.Machine) error {
	if u.Link == "" {
		return nil
	}
	full := h.Path(u.Link)
	if err := durable.MkdirAll(path.Dir(full), 0o755); err != nil {
		return fmt.Errorf("enabling %s: %w", u.Path, err)
	}
	if err := step.RemoveFile(h, u.Link); err != nil {
		return err
	}
	if err := durable.Symlink(u.Path, full); err != nil {
		return fmt.Errorf("enabling %s: %w", u.Path, err)
	}
	return nil
}
