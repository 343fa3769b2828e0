package txn

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// A run's secrets are files in memory (/run is a tmpfs), 0600 in a 0700 folder: a
// reboot forgets them, and so does the end of the fetch half.

func (s *Store) runDir(id string) string     { return filepath.Join(s.run, id) }
func (s *Store) secretsDir(id string) string { return filepath.Join(s.run, id, "secrets") }

func (s *Store) secretFile(id, name string) string {
	return filepath.Join(s.secretsDir(id), url.PathEscape(name))
}

// keepSecrets writes secrets for a transaction to find.
func (s *Store) keepSecrets(id string, secrets map[string][]byte) error {
	if err := os.MkdirAll(s.secretsDir(id), 0o700); err != nil {
		return fmt.Errorf("making the folder of a run's secrets: %w", err)
	}
	for name, content := range secrets {
		if err := checkSecretName(name); err != nil {
			return err
		}
		if err := durable.WriteFile(s.secretFile(id, name), content, 0o600); err != nil {
			return fmt.Errorf("keeping the secret %s: %w", name, err)
		}
	}
	return nil
}

// renewSecrets replaces what a running transaction has of its secrets. It adds none: what
// is not there any more is not needed any more.
func (s *Store) renewSecrets(id string, r Request, secrets map[string][]byte) error {
	for _, name := range r.Secrets {
		content, given := secrets[name]
		file := s.secretFile(id, name)
		was, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!given || bytes.Equal(was, content)) {
			continue
		}
		if err == nil {
			err = durable.WriteFile(file, content, 0o600)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it has just been forgotten
			return fmt.Errorf("renewing the secret %s: %w", name, err)
		}
	}
	return nil
}

// secret reads one. A secret that is not there wraps step.ErrSecretGone.
func (s *Store) secret(id, name string) ([]byte, error) {
	if err := checkSecretName(name); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(s.secretFile(id, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the secret %s: %w", name, step.ErrSecretGone)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the secret %s: %w", name, err)
	}
	return content, nil
}

// forget removes a transaction's secrets and with all also what else is in its run
// folder.
func (s *Store) forget(id string, all bool) error {
	dir := s.secretsDir(id)
	if all {
		dir = s.runDir(id)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the secrets of the run: %w", err)
	}
	return nil
}

// missing names the secrets of a request that the host does not have. After a reboot
// even a transaction without any has lost its run folder, and the controller that it
// may have been fetching through: that counts as missing, too.
func (s *Store) missing(id string, r Request) (names []string, gone bool) {
	for _, name := range r.Secrets {
		if _, err := os.Stat(s.secretFile(id, name)); err != nil {
			names = append(names, name)
		}
	}
	_, err := os.Stat(s.runDir(id))
	return names, len(names) > 0 || err != nil
}

// checkSupplied says which secrets of a request a caller did not bring.
func checkSupplied(r Request, secrets map[string][]byte) error {
	var lacking []string
	for _, name := range r.Secrets {
		if _, ok := secrets[name]; !ok {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return &problem.Error{Kind: problem.Input, Doing: "resuming the transaction on", Object: r.Host,
		Err: fmt.Errorf("it was begun with secrets that are not given now: %s", strings.Join(lacking, ", ")),
		Fix: "resume with what it was begun with: the same site file, and if it came from a bundle: valtctl resume --bundle FILE"}
}

// names lists the names of secrets in order.
func names(secrets map[string][]byte) []string { return slices.Sorted(maps.Keys(secrets)) }
