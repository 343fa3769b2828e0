package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/release/allowed"
)

// DirectoryParams is one folder. What is in it is left alone.
type DirectoryParams struct {
	Path string `json:"path"`
	Mode string `json:"mode"` // octal: "0750"
	UID  int    `json:"uid,omitempty"`
	GID  int    `json:"gid,omitempty"`
	// Release says that a release names the folder, which must then be one that it may.
	Release bool `json:"release,omitempty"`
}

// KindDirectory names what DirectoryKind makes.
const KindDirectory step.KindName = "directory"

// DirectoryKind makes folders with their owner and mode.
func DirectoryKind() step.Kind {
	return step.KindOf(KindDirectory, step.Reversible, func(p DirectoryParams) (step.Step, error) { return newDirectory(p) })
}

type directory struct {
	path string
	step.Owner
	release bool
}

// allowed judges the folder where a release names it, and where it leads on this host now.
func (d *directory) allowed(h *step.Machine) error {
	if !d.release {
		return nil
	}
	return errors.Join(
		step.AllowedPath(h, allowed.Site{}, allowed.Directory, d.path),
		step.NotAllowed(d.path, allowed.Owner(d.path, d.UID, d.GID, fmt.Sprintf("%o", d.Mode))))
}

func newDirectory(p DirectoryParams) (*directory, error) {
	mode, err := step.ParseMode(p.Mode)
	if err != nil {
		return nil, fmt.Errorf("reading the mode of %s: %w", p.Path, err)
	}
	if err := step.CleanPath(p.Path); err != nil {
		return nil, err
	}
	return &directory{p.Path, step.Owner{Mode: mode, UID: p.UID, GID: p.GID}, p.Release}, nil
}

func (d *directory) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	if err := d.allowed(h); err != nil {
		return step.Finding{}, err
	}
	info, err := h.Files().Stat(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		diff := fmt.Sprintf("+ %s/ mode %04o owner %d:%d\n", d.path, d.Mode, d.UID, d.GID)
		return step.Finding{Change: true, Diff: diff, Disrupts: step.Nothing}, nil
	}
	if err != nil {
		return step.Finding{}, fmt.Errorf("looking at %s: %w", d.path, err)
	}
	if !info.IsDir() {
		return step.Finding{}, fmt.Errorf("looking at %s: it is there and is not a folder; move it away", d.path)
	}
	diff, err := step.OwnerDiff(h, d.path, d.Mode, d.UID, d.GID)
	return step.Finding{Change: diff != "", Diff: diff, Disrupts: step.Nothing}, err
}

func (d *directory) Apply(_ context.Context, h *step.Machine) error {
	if err := d.allowed(h); err != nil {
		return err
	}
	folder, err := h.Files().MakeFolder(d.path, 0o755)
	if err != nil {
		return fmt.Errorf("making %s: %w", d.path, err)
	}
	defer folder.Close()
	return folder.Give(durable.Owner(d.Owner))
}

// Undo leaves the folder: what is in it by now may be wanted.
func (d *directory) Undo(context.Context, *step.Machine) error { return nil }
