package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"math/big"

	"golang.org/x/crypto/ssh"
)

// SSHKey is an ed25519 key: Private in OpenSSH's PEM, Public as one
// authorized_keys line.
type SSHKey struct {
	Private, Public []byte
}

// NewSSHKey makes a key whose comment says what it is for.
func NewSSHKey(comment string) (SSHKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return SSHKey{}, fmt.Errorf("making an SSH key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return SSHKey{}, fmt.Errorf("writing an SSH key: %w", err)
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		return SSHKey{}, fmt.Errorf("writing an SSH key: %w", err)
	}
	return SSHKey{Private: pem.EncodeToMemory(block), Public: ssh.MarshalAuthorizedKey(line)}, nil
}

// NewPassword draws 24 letters and digits that cannot be taken for one another.
func NewPassword() (string, error) {
	const letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	password := make([]byte, 24)
	for i := range password {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			return "", fmt.Errorf("drawing a password: %w", err)
		}
		password[i] = letters[n.Int64()]
	}
	return string(password), nil
}

// DropbearKey is an ed25519 host key in dropbear's own format: the SSH wire form of
// the public key's name, then both halves of the key as one string (dropbear's
// ed25519.c, buf_put_ed25519_priv_key).
func DropbearKey(private []byte) ([]byte, error) {
	raw, err := ssh.ParseRawPrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("reading a host key: %w", err)
	}
	key, ok := raw.(*ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("reading a host key: %T is not ed25519", raw)
	}
	return ssh.Marshal(struct {
		Name string
		Key  []byte
	}{ssh.KeyAlgoED25519, *key}), nil
}
