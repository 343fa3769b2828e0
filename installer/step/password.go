package step

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
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
}

// KindPassword names what PasswordKind makes.
const KindPassword KindName = "password"

// PasswordKind makes passwords where there are none and never changes one.
func PasswordKind() Kind {
	return kindOf(KindPassword, Reversible, func(p PasswordParams) (Step, error) {
		if p.Length == 0 {
			p.Length = passwordLength
		}
		if p.Length < passwordMinimum {
			return nil, fmt.Errorf("checking the password %s: %d characters are too few, at least %d", p.Path, p.Length, passwordMinimum)
		}
		return &password{p}, cleanPath(p.Path)
	})
}

type password struct{ PasswordParams }

func (p *password) Inspect(_ context.Context, h *Machine) (Finding, error) {
	was, err := readIfThere(h.Path(p.Path))
	if err != nil {
		return Finding{}, err
	}
	if was == nil {
		return Finding{Change: true, Diff: fmt.Sprintf("+ %s (a new password, made on the host)\n", p.Path), Disrupts: Nothing}, nil
	}
	if len(was) == 0 {
		return Finding{}, fmt.Errorf("reading %s: it is empty; a component's password was lost: restore the file from a backup", p.Path)
	}
	diff, err := ownerDiff(h, p.Path, 0o600, p.UID, p.GID)
	return Finding{Change: diff != "", Diff: diff, Disrupts: Nothing}, err
}

func (p *password) Apply(_ context.Context, h *Machine) error {
	content, err := readIfThere(h.Path(p.Path))
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
	return writeFile(h, p.Path, content, owner{0o600, p.UID, p.GID})
}

// Undo leaves the password: it is for all releases.
func (p *password) Undo(context.Context, *Machine) error { return nil }

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
