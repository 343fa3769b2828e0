package files

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/release/allowed"
)

// Passwords are letters and digits, so that no component has to escape one.
const (
	passwordAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
	passwordLength   = 32
	passwordMinimum  = 16
)

// PasswordParams is a password between components. It is made here, kept for good and
// never leaves the host.
type PasswordParams struct {
	Path   string `json:"path"`
	Length int    `json:"length,omitempty"` // characters; 0: 32
	UID    int    `json:"uid,omitempty"`
	GID    int    `json:"gid,omitempty"`
	// Release says that a release names the path, which must then be one that it may.
	Release bool `json:"release,omitempty"`
}

// allowed judges the path where a release names it, and where it leads on this host now.
func (p *password) allowed(h *step.Machine) error {
	if !p.Release {
		return nil
	}
	return step.AllowedPath(h, allowed.Site{}, allowed.Password, p.Path)
}

// KindPassword names what PasswordKind makes.
const KindPassword step.KindName = "password"

// PasswordKind makes passwords where there are none and never changes one.
func PasswordKind() step.Kind {
	return step.KindOf(KindPassword, step.Reversible, func(p PasswordParams) (step.Step, error) {
		if p.Length == 0 {
			p.Length = passwordLength
		}
		if p.Length < passwordMinimum {
			return nil, fmt.Errorf("checking the password %s: %d characters are too few, at least %d", p.Path, p.Length, passwordMinimum)
		}
		return &password{p}, step.CleanPath(p.Path)
	})
}

type password struct{ PasswordParams }

func (p *password) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	if err := p.allowed(h); err != nil {
		return step.Finding{}, err
	}
	was, err := step.ReadFile(h, p.Path)
	if err != nil {
		return step.Finding{}, err
	}
	if was == nil {
		return step.Finding{Change: true, Diff: fmt.Sprintf("+ %s (a new password, made on the host)\n", p.Path), Disrupts: step.Nothing}, nil
	}
	if len(was) == 0 {
		return step.Finding{}, fmt.Errorf("reading %s: it is empty; a component's password was lost: restore the file from a backup", p.Path)
	}
	diff, err := step.OwnerDiff(h, p.Path, 0o600, p.UID, p.GID)
	return step.Finding{Change: diff != "", Diff: diff, Disrupts: step.Nothing}, err
}

func (p *password) Apply(_ context.Context, h *step.Machine) error {
	content, err := step.ReadFile(h, p.Path)
	if err != nil {
		return err
	}
	if content != nil && len(content) == 0 {
		return errors.New("making a password: an empty one is there, and something may know another")
	}
	if content == nil {
		if content, err = newPassword(p.Length); err != nil {
			return err
		}
	}
	if err := p.allowed(h); err != nil {
		return err
	}
	return step.WriteFile(h, p.Path, content, step.Owner{Mode: 0o600, UID: p.UID, GID: p.GID})
}

// Undo leaves the password: it is for all releases.
func (p *password) Undo(context.Context, *step.Machine) error { return nil }

func newPassword(length int) ([]byte, error) {
	var made strings.Builder
	size := big.NewInt(int64(len(passwordAlphabet)))
	for range length {
		n, err := rand.Int(rand.Reader, size)
		if err != nil {
			return nil, fmt.Errorf("making a password: %w", err)
		}
		made.WriteByte(passwordAlphabet[n.Int64()])
	}
	return []byte(made.String()), nil
}
