package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// DirectoryParams is one folder. What is in it is left alone.
type DirectoryParams struct {
	Path string `json:"path"`
	Mode string `json:"mode"` // octal: "0750"
	UID  int    `json:"uid,omitempty"`
	GID  int    `json:"gid,omitempty"`
}

// KindDirectory names what DirectoryKind makes.
const KindDirectory KindName = "directory"

// DirectoryKind makes folders with their owner and mode.
func DirectoryKind() Kind {
	return kindOf(KindDirectory, Reversible, func(p DirectoryParams) (Step, error) { return newDirectory(p) })
}

type directory struct {
	path string
	owner
}

func newDirectory(p DirectoryParams) (*directory, error) {
	mode, err := parseMode(p.Mode)
	if err != nil {
		return nil, fmt.Errorf("reading the mode of %s: %w", p.Path, err)
	}
	if err := cleanPath(p.Path); err != nil {
		return nil, err
	}
	return &directory{p.Path, owner{mode, p.UID, p.GID}}, nil
}

func (d *directory) Inspect(_ context.Context, h *Machine) (Finding, error) {
	info, err := os.Stat(h.Path(d.path))
	if errors.Is(err, fs.ErrNotExist) {
		diff := fmt.Sprintf("+ %s/ mode %04o owner %d:%d\n", d.path, d.mode, d.uid, d.gid)
		return Finding{Change: true, Diff: diff, Disrupts: Nothing}, nil
	}
	if err != nil {
		return Finding{}, fmt.Errorf("looking at %s: %w", d.path, err)
	}
	if !info.IsDir() {
		return Finding{}, fmt.Errorf("looking at %s: it is there and is not a folder; move it away", d.path)
	}
	diff, err := ownerDiff(h, d.path, d.mode, d.uid, d.gid)
	return Finding{Change: diff != "", Diff: diff, Disrupts: Nothing}, err
}

func (d *directory) Apply(_ context.Context, h *Machine) error {
	full := h.Path(d.path)
	if err := os.MkdirAll(full, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", d.path, err)
	}
	if err := os.Chown(full, d.uid, d.gid); err != nil {
		return fmt.Errorf("giving %s to %d:%d: %w", d.path, d.uid, d.gid, err)
	}
	// After chown, which may clear bits; and whatever the umask was.
	if err := os.Chmod(full, d.mode); err != nil {
		return fmt.Errorf("setting the mode of %s: %w", d.path, err)
	}
	return nil
}

// Undo leaves the folder: what is in it by now may be wanted.
func (d *directory) Undo(context.Context, *Machine) error { return nil }
