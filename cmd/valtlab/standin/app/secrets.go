package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// secretsDir is where Compose mounts the passwords, readable by root alone.
const secretsDir = "/run/secrets"

// runDir is the entry's own folder, on the container's own layer and gone with it.
const runDir = "/run/valt"

// The users of Debian's packages (base-passwd), and one for the database, whose package
// of that name is not installed.
const (
	uidWeb    = 33 // www-data
	uidNode   = 65534
	uidServer = 999
)

// password reads one password.
func password(dir, name string) (string, error) {
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "", fmt.Errorf("reading the password %s: %w", name, err)
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return "", fmt.Errorf("reading the password %s: the file is empty", name)
	}
	return text, nil
}

// hand gives a password to a component that does not run as root, as a file of its own.
func hand(from, to, name string, uid int) error {
	text, err := password(from, name)
	if err != nil {
		return err
	}
	return privateFile(filepath.Join(to, name), text, uid)
}

// privateFile writes a file that only uid and root can read. Its folder is made. One that an
// earlier start left is removed, not opened: root without capabilities may not write
// to what is another user's.
func privateFile(path, content string, uid int) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("replacing %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Chown(path, uid, uid); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
