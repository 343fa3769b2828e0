package step

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
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
