package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// maxLicence caps a licence key, in bytes.
const maxLicence = 4096

// LicenceParams is the media engine's electronic licence key.
type LicenceParams struct {
	Path   string `json:"path"`
	Secret string `json:"secret"`
}

// KindLicence names what LicenceKind makes.
const KindLicence KindName = "licence"

// LicenceKind writes the media engine's licence key, root-only.
func LicenceKind() Kind {
	return kindOf(KindLicence, Reversible, func(p LicenceParams) (Step, error) {
		f, err := newFile(FileParams{Path: p.Path, Mode: "0600", Secret: p.Secret})
		if err != nil {
			return nil, err
		}
		return &licence{f}, nil
	})
}

// licence is a secret file whose content must look like a key.
type licence struct{ *file }

func (l *licence) Inspect(ctx context.Context, h *Machine) (Finding, error) {
	if err := l.check(h); err != nil {
		return Finding{}, err
	}
	return l.file.Inspect(ctx, h)
}

func (l *licence) Apply(ctx context.Context, h *Machine) error {
	if err := l.check(h); err != nil {
		return err
	}
	return l.file.Apply(ctx, h)
}

// Undo puts back the licence key.
func (l *licence) Undo(_ context.Context, h *Machine) error {
	_, err := putBack(h)
	return err
}

func (l *licence) check(h *Machine) error {
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
