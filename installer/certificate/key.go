package certificate

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/youmark/pkcs8"
	"golang.org/x/crypto/ssh"
	"software.sslmate.com/src/go-pkcs12"

	"ipivs.com/valtctl/repos/textfile"
)

// privateKey reads a key, PEM or DER. Its text is returned as it was if it was PEM that was
// not locked, so that an installed key stays byte for byte.
func privateKey(content []byte, passphrase func() ([]byte, error)) (key crypto.PrivateKey, asWas []byte, err error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, nil, errors.New("the file is empty")
	}
	if key, err := plainKey(content); err == nil {
		return key, nil, nil
	}
	if key, err := unlocked(content, passphrase); err == nil || errors.Is(err, ErrPassphrase) || errors.Is(err, errWrong) {
		return key, nil, err
	}
	if isPKCS12(content) {
		return nil, nil, errors.New("it is PKCS#12 (.pfx); name it as tls.pkcs12 in place of certificate and key_file")
	}
	text, _, err := textfile.Decode(content)
	if err != nil {
		return nil, nil, errors.New("it is neither PEM nor a key in DER")
	}
	var others []string
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, nil, errors.New(noKey(others))
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			others = append(others, block.Type)
			continue
		}
		key, locked, err := keyOf(block, passphrase)
		if locked || err != nil {
			return key, nil, err
		}
		return key, text, nil
	}
}

// noKey says what a PEM file holds instead of one.
func noKey(blocks []string) string {
	if len(blocks) == 0 {
		return "it holds no private key, neither as PEM (-----BEGIN PRIVATE KEY-----) nor in DER"
	}
	return fmt.Sprintf("it holds no private key, but %q", blocks[0])
}

// keyOf reads one block of PEM. Locked: it took a passphrase.
func keyOf(block *pem.Block, passphrase func() ([]byte, error)) (key crypto.PrivateKey, locked bool, err error) {
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY":
		key, err = unlocked(block.Bytes, passphrase)
		return key, true, err
	case strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"): // RFC 1421, as OpenSSL wrote keys before PKCS #8
		key, err = unlockedPEM(block, passphrase)
		return key, true, err
	case block.Type == "OPENSSH PRIVATE KEY":
		return nil, false, errors.New("it is a key for SSH, not a certificate's")
	}
	key, err = plainKey(block.Bytes)
	return key, false, err
}

// plainKey reads DER of PKCS #8, PKCS #1 or SEC 1.
func plainKey(der []byte) (crypto.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, fmt.Errorf("it cannot be read: %w", err)
}

// errWrong is wrapped where a passphrase was given that does not unlock.
var errWrong = errors.New("the passphrase does not unlock it")

// unlocked reads PKCS #8 under a passphrase (RFC 5208, section 6).
func unlocked(der []byte, passphrase func() ([]byte, error)) (crypto.PrivateKey, error) {
	if !isEncryptedPKCS8(der) {
		return nil, errors.New("it is no PKCS #8")
	}
	secret, err := ask(passphrase)
	if err != nil {
		return nil, err
	}
	key, err := pkcs8.ParsePKCS8PrivateKey(der, secret)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errWrong, err)
	}
	return key, nil
}

// unlockedPEM reads the form of keys under a passphrase that OpenSSL wrote before PKCS #8.
func unlockedPEM(block *pem.Block, passphrase func() ([]byte, error)) (crypto.PrivateKey, error) {
	secret, err := ask(passphrase)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParseRawPrivateKeyWithPassphrase(pem.EncodeToMemory(block), secret)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errWrong, err)
	}
	return key, nil
}

func ask(passphrase func() ([]byte, error)) ([]byte, error) {
	if passphrase == nil {
		return nil, ErrPassphrase
	}
	return passphrase()
}

// readPKCS12 reads a PKCS#12 file. One without a password is read without asking.
func readPKCS12(content []byte, passphrase func() ([]byte, error)) (*Pair, error) {
	if !isPKCS12(content) {
		return nil, errors.New("reading the PKCS#12 file: it is none; a file in PEM or DER goes under tls.certificate, with tls.key_file")
	}
	key, leaf, others, err := pkcs12.DecodeChain(content, "")
	if errors.Is(err, pkcs12.ErrIncorrectPassword) || err != nil && strings.Contains(err.Error(), "decryption") {
		var secret []byte
		if secret, err = ask(passphrase); err != nil {
			return nil, fmt.Errorf("reading the PKCS#12 file: %w", err)
		}
		if key, leaf, others, err = pkcs12.DecodeChain(content, string(secret)); errors.Is(err, pkcs12.ErrIncorrectPassword) {
			err = errWrong
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the PKCS#12 file: %w", err)
	}
	return pairOf(append([]*x509.Certificate{leaf}, others...), key)
}
