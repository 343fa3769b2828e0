package pki

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// CryptHash is the crypt(3) hash of a password, SHA-512, as /etc/shadow holds it. The
// password goes to openssl by its standard input.
func CryptHash(ctx context.Context, password string) (string, error) {
	hash := exec.CommandContext(ctx, "openssl", "passwd", "-6", "-stdin")
	hash.Stdin = strings.NewReader(password + "\n")
	var said bytes.Buffer
	hash.Stderr = &said
	out, err := hash.Output()
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}
