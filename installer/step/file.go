package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ipivs.com/valtctl/repos/durable"
)

// FileParams is one file. Content stands in the plan; a file that holds a secret
// names it instead and is never shown.
type FileParams struct {
	Path    string `json:"path"`
	Mode    string `json:"mode"` // octal: "0644"
	UID     int    `json:"uid,omitempty"`
	GID     int    `json:"gid,omitempty"`
	Content string `json:"content,omitempty"`
	Secret  string `json:"secret,omitempty"`
}

// KindFile names what FileKind makes.
const KindFile KindName = "file"

// FileKind writes files whole.
func FileKind() Kind {
	return kindOf(KindFile, Reversible, func(p FileParams) (Step, error) { return newFile(p) })
}

// file is a FileParams with its mode read.
type file struct {
	FileParams
	mode fs.FileMode
}

func newFile(p FileParams) (*file, error) {
	mode, err := parseMode(p.Mode)
	if err != nil {
		return nil, fmt.Errorf("reading the mode of %s: %w", p.Path, err)
	}
	if err := cleanPath(p.Path); err != nil {
		return nil, err
	}
	if p.Secret != "" && p.Content != "" {
		return nil, fmt.Errorf("reading the parameters of %s: a file has content or a secret, not both", p.Path)
	}
	if p.Secret != "" && mode&0o007 != 0 {
		return nil, fmt.Errorf("reading the mode of %s: a secret must not be open to everybody (%s)", p.Path, p.Mode)
	}
	return &file{p, mode}, nil
}

func (f *file) Inspect(_ context.Context, h *Machine) (Finding, error) {
	want, err := f.wanted(h)
	if err != nil {
		return Finding{}, err
	}
	was, err := readIfThere(h.Path(f.Path))
	if err != nil {
		return Finding{}, err
	}
	text := secretDiff(f.Path, was, want)
	if f.Secret == "" {
		text = ""
		if was == nil || !bytes.Equal(was, want) {
			text = textDiff(f.Path, was, want)
		}
	}
	if was != nil {
		attrs, err := ownerDiff(h, f.Path, f.mode, f.UID, f.GID)
		if err != nil {
			return Finding{}, err
		}
		text += attrs
	}
	return Finding{Change: was == nil || text != "", Diff: text, Disrupts: Nothing}, nil
}

func (f *file) Apply(_ context.Context, h *Machine) error {
	want, err := f.wanted(h)
	if err != nil {
		return err
	}
	return writeFile(h, f.Path, want, owner{f.mode, f.UID, f.GID})
}

// Undo puts back what the file was.
func (f *file) Undo(_ context.Context, h *Machine) error {
	_, err := putBack(h)
	return err
}

func (f *file) wanted(h *Machine) ([]byte, error) {
	if f.Secret == "" {
		return []byte(f.Content), nil
	}
	content, err := h.Secret(f.Secret)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", f.Path, err)
	}
	return content, nil
}

// owner is who may do what with a file.
type owner struct {
	mode     fs.FileMode
	uid, gid int
}

// writeFile replaces a file in one rename, fsynced, with its folder made where it is
// missing (0755). The owner is set before the content has its final name, so a secret
// is never open to others even for a moment.
func writeFile(h *Machine, path string, content []byte, o owner) error {
	if err := keepFile(h, path); err != nil {
		return err
	}
	full := h.Path(path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return fmt.Errorf("making the folder of %s: %w", path, err)
	}
	if err := durable.WriteFileAs(full, content, durable.Owner{Mode: o.mode, UID: o.uid, GID: o.gid}); err != nil {
		return fmt.Errorf("writing %s for %d:%d: %w", path, o.uid, o.gid, err)
	}
	return nil
}

// syncDir makes a rename in dir durable (fsync(2) on the folder).
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening %s to sync it: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}

// readIfThere is a file's content, nil where there is none. An empty file is not nil.
func readIfThere(full string) ([]byte, error) {
	content, err := os.ReadFile(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what is there: %w", err)
	}
	if content == nil {
		content = []byte{}
	}
	return content, nil
}

// ownerDiff tells how mode and owner differ. A file that is not there differs in nothing.
func ownerDiff(h *Machine, path string, mode fs.FileMode, uid, gid int) (string, error) {
	info, err := os.Stat(h.Path(path))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking at %s: %w", path, err)
	}
	var diff strings.Builder
	if got := info.Mode().Perm(); got != mode.Perm() {
		fmt.Fprintf(&diff, "- %s mode %04o\n+ %s mode %04o\n", path, got, path, mode.Perm())
	}
	if u, g, ok := ownerOf(info); ok && (u != uid || g != gid) {
		fmt.Fprintf(&diff, "- %s owner %d:%d\n+ %s owner %d:%d\n", path, u, g, path, uid, gid)
	}
	return diff.String(), nil
}

// parseMode reads octal permissions, "0640".
func parseMode(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("%q is not an octal mode between 0000 and 0777", text)
	}
	return fs.FileMode(n), nil
}

// cleanPath refuses a path that is relative or climbs.
func cleanPath(p string) error {
	if !filepath.IsAbs(p) || filepath.Clean(p) != p {
		return fmt.Errorf("checking the path %q: it must be absolute and must not climb", p)
	}
	return nil
}
