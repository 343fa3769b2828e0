package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"ipivs.com/valtctl/installer/step"
)

// maxLicence caps a licence key, in bytes.
const maxLicence = 4096

// LicenceParams is the media engine's electronic licence key.
type LicenceParams struct {
	Path    string `json:"path"`
	Secret  string `json:"secret"`
	Release Named  `json:"release,omitempty"` // what names the path; empty: valtctl
}

// KindLicence names what LicenceKind makes.
const KindLicence step.KindName = "licence"

// LicenceKind writes the media engine's licence key, root-only.
func LicenceKind() step.Kind {
	return step.KindOf(KindLicence, step.Reversible, func(p LicenceParams) (step.Step, error) {
		f, err := NewFile(FileParams{Path: p.Path, Mode: "0600", Secret: p.Secret, Release: p.Release})
		if err != nil {
			return nil, err
		}
		return &licence{f}, nil
	})
}

// licence is a secret file whose content must look like a key.
type licence struct{ *File }

func (l *licence) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	if err := l.check(h); err != nil {
		return step.Finding{}, err
	}
	return l.File.Inspect(ctx, h)
}

func (l *licence) Apply(ctx context.Context, h *step.Machine) error {
	if err := l.check(h); err != nil {
		return err
	}
	return l.File.Apply(ctx, h)
}

// Undo puts back the licence key.
func (l *licence) Undo(_ context.Context, h *step.Machine) error {
	_, err := step.PutBack(h)
	return err
}

func (l *licence) check(h *step.Machine) error {
	key, err := h.Secret(l.Secret)
	if err != nil {
		return fmt.Errorf("reading the licence key: %w", err)
	}
	if err := CheckLicence(key); err != nil {
		return fmt.Errorf("checking the licence key for %s: %w", l.Path, err)
	}
	return nil
}

// CheckLicence refuses what cannot be a licence key: nothing, several lines, or a file
// of some other kind. Whether the key is valid only the licence servers know.
func CheckLicence(key []byte) error {
	line := bytes.TrimSpace(key)
	switch {
	case len(line) == 0:
		return errors.New("the file is empty")
	case len(line) > maxLicence:
		return fmt.Errorf("it has %d bytes; a key has at most %d", len(line), maxLicence)
	case bytes.ContainsAny(line, "\n\r\x00"):
		return errors.New("it has several lines; put only the key into the file")
	}
	return nil
}
