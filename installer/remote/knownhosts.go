package remote

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// Remember makes keys the only ones that the known_hosts file at path has for addr
// (host:port). The file is replaced as a whole, or not at all, and made if it is missing.
func Remember(path, addr string, keys []ssh.PublicKey) error {
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading known hosts: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making the folder of known hosts: %w", err)
	}
	if err := replace(path, remember(before, addr, keys)); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// replace writes beside path and renames, also on Windows, where the controller may run.
func replace(path string, text []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".known_hosts-") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // gone already if all went well
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// remember replaces what a known_hosts file says of addr. Lines with patterns, authorities
// and revocations, and every comment, stay as they are.
func remember(before []byte, addr string, keys []ssh.PublicKey) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(before) {
		if kept := forget(string(line), knownhosts.Normalize(addr)); kept != "" {
			out.WriteString(strings.TrimSuffix(kept, "\n") + "\n")
		}
	}
	for _, k := range keys {
		out.WriteString(knownhosts.Line([]string{addr}, k) + "\n")
	}
	return out.Bytes()
}

// forget takes a host out of one line, and returns "" if nothing of the line is left.
func forget(line, host string) string {
	trimmed := strings.TrimSpace(line)
	if trimmed == "" || trimmed[0] == '#' || trimmed[0] == '@' {
		return line
	}
	names, rest, _ := strings.Cut(trimmed, " ")
	all := strings.Split(names, ",")
	left := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == host || hashedAs(n, host) })
	switch len(left) {
	case len(all):
		return line
	case 0:
		return ""
	}
	return strings.Join(left, ",") + " " + rest
}

// hashedAs says whether pattern is host hashed as sshd(8) describes it: |1|salt|hash,
// both base64, the hash being HMAC-SHA1.
func hashedAs(pattern, host string) bool {
	parts := strings.Split(pattern, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return false
	}
	salt, err1 := base64.StdEncoding.DecodeString(parts[2])
	want, err2 := base64.StdEncoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil {
		return false
	}
	sum := hmac.New(sha1.New, salt)
	sum.Write([]byte(host))
	return hmac.Equal(sum.Sum(nil), want)
}
