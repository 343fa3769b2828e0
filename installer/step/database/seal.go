package database

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
)

// HostKey is this host's own age identity. Backups that are encrypted at all are encrypted to it as well: without it
// the host could neither prove one nor take a migration back with nobody there.
const HostKey = "/var/lib/valtctl/backup.key"

// recipients are whom a backup is encrypted to; none: it is not encrypted.
func (s Store) recipients(h *step.Machine) ([]age.Recipient, error) {
	if s.Recipient == "" {
		return nil, nil
	}
	to, err := age.ParseRecipients(strings.NewReader(s.Recipient))
	if err != nil {
		return nil, fmt.Errorf("reading backup.recipient: %w", err)
	}
	keys, err := identities(h)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		made, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, fmt.Errorf("making this host's key for backups: %w", err)
		}
		if err := durable.MkdirAll(h.Path(filepath.Dir(HostKey)), 0o755); err != nil {
			return nil, fmt.Errorf("keeping this host's key for backups: %w", err)
		}
		if err := durable.WriteFile(h.Path(HostKey), []byte(made.String()+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("keeping this host's key for backups: %w", err)
		}
		return append(to, made.Recipient()), nil
	}
	for _, k := range keys {
		if x, ok := k.(*age.X25519Identity); ok {
			to = append(to, x.Recipient())
		}
	}
	return to, nil
}

// identities are this host's own keys; none: it has never encrypted a backup.
func identities(h *step.Machine) ([]age.Identity, error) {
	text, err := os.ReadFile(h.Path(HostKey))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading this host's key for backups: %w", err)
	}
	keys, err := age.ParseIdentities(strings.NewReader(string(text)))
	if err != nil {
		return nil, fmt.Errorf("reading this host's key for backups: %w", err)
	}
	return keys, nil
}
