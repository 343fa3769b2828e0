// Package files holds the steps about what lies on a host: files, folders, keys, certificates,
// passwords, the licence and the recordings' folder. They are the ground of the other rooms of
// steps; what a file means to a program that reads it is theirs.
package files

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/release/allowed"
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
	// Release says what a release uses the path for that names it: then it must be one that a
	// release may name. Empty: the file is valtctl's own.
	Release Named `json:"release,omitempty"`
}

// Named is what a release names a path for.
type Named string

// The uses of such paths.
const (
	NamedFile Named = "file"      // its own
	NamedSite Named = "site file" // for a file of the site's: a certificate, a key, a licence, a Compose file
)

// allowed judges a path that a release names, and where it leads on this host now.
func (n Named) allowed(h *step.Machine, path string) error {
	switch n {
	case "":
		return nil
	case NamedFile:
		return step.AllowedPath(h, allowed.Site{}, allowed.File, path)
	case NamedSite:
		return step.AllowedPath(h, allowed.Site{}, allowed.SiteFile, path)
	}
	return fmt.Errorf("reading the parameters of %s: no release names a path for a %q", path, string(n))
}

// KindFile names what FileKind makes.
const KindFile step.KindName = "file"

// FileKind writes files whole.
func FileKind() step.Kind {
	return step.KindOf(KindFile, step.Reversible, func(p FileParams) (step.Step, error) { return NewFile(p) })
}

// File is a FileParams with its mode read.
type File struct {
	FileParams
	mode fs.FileMode
}

// NewFile is the step that KindFile names.
func NewFile(p FileParams) (*File, error) {
	mode, err := step.ParseMode(p.Mode)
	if err != nil {
		return nil, fmt.Errorf("reading the mode of %s: %w", p.Path, err)
	}
	if err := step.CleanPath(p.Path); err != nil {
		return nil, err
	}
	if p.Secret != "" && p.Content != "" {
		return nil, fmt.Errorf("reading the parameters of %s: a file has content or a secret, not both", p.Path)
	}
	if p.Secret != "" && mode&0o007 != 0 {
		return nil, fmt.Errorf("reading the mode of %s: a secret must not be open to everybody (%s)", p.Path, p.Mode)
	}
	return &File{p, mode}, nil
}

func (f *File) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	if err := f.Release.allowed(h, f.Path); err != nil {
		return step.Finding{}, err
	}
	want, err := f.wanted(h)
	if err != nil {
		return step.Finding{}, err
	}
	was, err := step.ReadFile(h, f.Path)
	if err != nil {
		return step.Finding{}, err
	}
	text := step.SecretDiff(f.Path, was, want)
	if f.Secret == "" {
		text = ""
		if was == nil || !bytes.Equal(was, want) {
			text = step.TextDiff(f.Path, was, want)
		}
	}
	if was != nil {
		attrs, err := step.OwnerDiff(h, f.Path, f.mode, f.UID, f.GID)
		if err != nil {
			return step.Finding{}, err
		}
		text += attrs
	}
	return step.Finding{Change: was == nil || text != "", Diff: text, Disrupts: step.Nothing}, nil
}

func (f *File) Apply(ctx context.Context, h *step.Machine) error {
	want, err := f.wanted(h)
	if err != nil {
		return err
	}
	if err := f.Release.allowed(h, f.Path); err != nil {
		return err
	}
	return step.WriteChecked(h, f.Path, want, step.Owner{Mode: f.mode, UID: f.UID, GID: f.GID}, checkOf(ctx, h, f.Path))
}

// Undo puts back what the file was.
func (f *File) Undo(_ context.Context, h *step.Machine) error {
	_, err := step.PutBack(h)
	return err
}

func (f *File) wanted(h *step.Machine) ([]byte, error) {
	if f.Secret == "" {
		return []byte(f.Content), nil
	}
	content, err := h.Secret(f.Secret)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", f.Path, err)
	}
	return content, nil
}
