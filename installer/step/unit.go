package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
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
const KindUnit KindName = "unit"

// UnitKind writes systemd units and enables them (systemd.unit(5)). It starts nothing.
func UnitKind() Kind {
	return kindOf(KindUnit, Reversible, func(p UnitParams) (Step, error) { return newUnit(p) })
}

type unit struct {
	*file
	link string // the enabling symlink, or empty
}

func newUnit(p UnitParams) (*unit, error) {
	f, err := newFile(FileParams{Path: path.Join(unitFolder, p.Name), Mode: "0644", Content: p.Content})
	if err != nil {
		return nil, err
	}
	if strings.Count(p.Name, "/") > 1 || strings.Contains(p.Name, "..") {
		return nil, fmt.Errorf("reading the unit's name: %q is neither a unit nor a drop-in", p.Name)
	}
	u := &unit{file: f}
	if p.WantedBy != "" {
		u.link = path.Join(unitFolder, p.WantedBy+".wants", p.Name)
	}
	return u, nil
}

func (u *unit) Inspect(ctx context.Context, h *Machine) (Finding, error) {
	found, err := u.file.Inspect(ctx, h)
	if err != nil {
		return Finding{}, err
	}
	if enabled, err := u.enabled(h); err != nil || enabled {
		return found, err
	}
	found.Change = true
	found.Diff += fmt.Sprintf("+ %s -> %s\n", u.link, u.Path)
	return found, nil
}

func (u *unit) Apply(ctx context.Context, h *Machine) error {
	if err := u.file.Apply(ctx, h); err != nil {
		return err
	}
	if err := u.enable(h); err != nil {
		return err
	}
	if _, err := h.Run.Run(ctx, Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of %s: %w", u.Path, err)
	}
	return nil
}

// Undo puts back the unit and whether it was enabled.
func (u *unit) Undo(ctx context.Context, h *Machine) error {
	any, err := putBack(h)
	if err != nil || !any {
		return err
	}
	if _, err := h.Run.Run(ctx, Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of %s: %w", u.Path, err)
	}
	return nil
}

func (u *unit) enabled(h *Machine) (bool, error) {
	if u.link == "" {
		return true, nil
	}
	target, err := os.Readlink(h.Path(u.link))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking whether %s is enabled: %w", u.Path, err)
	}
	return target == u.Path, nil
}

func (u *unit) enable(h *Machine) error {
	if u.link == "" {
		return nil
	}
	full := h.Path(u.link)
	if err := os.MkdirAll(path.Dir(full), 0o755); err != nil {
		return fmt.Errorf("enabling %s: %w", u.Path, err)
	}
	if err := removeFile(h, u.link); err != nil {
		return err
	}
	if err := os.Symlink(u.Path, full); err != nil {
		return fmt.Errorf("enabling %s: %w", u.Path, err)
	}
	return nil
}
