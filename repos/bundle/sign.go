package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/repos/problem"
)

// Namespace keeps a bundle's signature from being one of anything else (ssh-keygen(1)).
const Namespace = "bundle@valtctl.ipivs.com"

// maxSignature caps a signature, in bytes.
const maxSignature = 64 << 10

func sign(contents []byte, key ssh.Signer) ([]byte, error) {
	s, err := sshsig.Sign(bytes.NewReader(contents), key, sshsig.HashSHA512, Namespace)
	if err != nil {
		return nil, fmt.Errorf("signing the bundle: %w", err)
	}
	return sshsig.Armor(s), nil
}

// verifySignature wants the contents to be signed by one of the keys, and returns it.
func verifySignature(contents, armored []byte, trusted []ssh.PublicKey) (ssh.PublicKey, error) {
	s, err := sshsig.Unarmor(armored)
	if err != nil {
		return nil, trust("the signature", fmt.Errorf("it cannot be read: %w", err))
	}
	for _, key := range trusted {
		if bytes.Equal(key.Marshal(), s.PublicKey.Marshal()) {
			if err := sshsig.Verify(bytes.NewReader(contents), s, key, s.HashAlgorithm, Namespace); err != nil {
				return nil, trust("the signature", err)
			}
			return key, nil
		}
	}
	return nil, &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: "the signature",
		Err: fmt.Errorf("it is by the key %s, which is not trusted here", ssh.FingerprintSHA256(s.PublicKey)),
		Fix: "ask the maker for the key's fingerprint another way; if it is this one, name the maker's public key: --signers FILE"}
}

// ReadSigners reads keys as ssh-keygen(1)'s ALLOWED SIGNERS, or as plain public keys. A line
// with options other than our namespace is refused, so that no restriction is overlooked.
func ReadSigners(text []byte) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := readSigner(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("no key is listed")
	}
	return keys, nil
}

func readSigner(line string) (ssh.PublicKey, error) {
	words := strings.Fields(line)
	for i, word := range words {
		if !strings.HasPrefix(word, "ssh-") && !strings.HasPrefix(word, "ecdsa-") && !strings.HasPrefix(word, "sk-") {
			continue
		}
		for _, option := range words[min(1, i):i] {
			if option != `namespaces="`+Namespace+`"` {
				return nil, fmt.Errorf("the option %s is not known here", option)
			}
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(strings.Join(words[i:], " ")))
		if err != nil {
			return nil, err
		}
		return key, nil
	}
	return nil, errors.New("it holds no public key")
}

// trust is something that is not what was signed.
func trust(object string, err error) error {
	return &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: object, Err: err,
		Fix: "copy the bundle again from its maker, and compare its size; the copy that is here was not changed"}
}
