package files

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/step"
)

// SSHKeyParams is a key that is made on the host and never leaves it. Its public half is
// beside it, with ".pub".
type SSHKeyParams struct {
	Path    string `json:"path"`
	Comment string `json:"comment"`
}

// KindSSHKey names what SSHKeyKind makes.
const KindSSHKey step.KindName = "ssh-key"

// SSHKeyKind makes an Ed25519 key, root-only, where there is none. One that is there is kept.
func SSHKeyKind() step.Kind {
	return step.KindOf(KindSSHKey, step.OneWay, func(p SSHKeyParams) (step.Step, error) {
		if err := step.CleanPath(p.Path); err != nil {
			return nil, err
		}
		if strings.ContainsAny(p.Comment, "\n\r") {
			return nil, fmt.Errorf("reading the key's comment: %q has several lines", p.Comment)
		}
		return &sshKey{p}, nil
	})
}

type sshKey struct{ SSHKeyParams }

func (k *sshKey) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	public, err := k.public(h)
	if err != nil {
		return step.Finding{}, err
	}
	shown, err := step.ReadFile(h, k.Path+".pub")
	if err != nil {
		return step.Finding{}, err
	}
	if public == nil || !bytes.Equal(shown, public) {
		return step.Finding{Change: true, Diff: "+ " + k.Path + " (an Ed25519 key of this host's own)\n", Disrupts: step.Nothing}, nil
	}
	diff, err := step.OwnerDiff(h, k.Path, 0o600, 0, 0)
	return step.Finding{Change: diff != "", Diff: diff, Disrupts: step.Nothing}, err
}

// public is the public half of the key that is there; nil: there is none.
func (k *sshKey) public(h *step.Machine) ([]byte, error) {
	content, err := step.ReadFile(h, k.Path)
	if content == nil || err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(content)
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", k.Path, err)
	}
	return k.line(signer.PublicKey()), nil
}

func (k *sshKey) line(key ssh.PublicKey) []byte {
	return append(bytes.TrimSuffix(ssh.MarshalAuthorizedKey(key), []byte("\n")), " "+k.Comment+"\n"...)
}

func (k *sshKey) Apply(_ context.Context, h *step.Machine) error {
	public, err := k.public(h)
	if err != nil {
		return err
	}
	content, err := step.ReadFile(h, k.Path)
	if err != nil {
		return err
	}
	if public == nil {
		if content, public, err = k.made(); err != nil {
			return fmt.Errorf("making the key %s: %w", k.Path, err)
		}
	}
	if err := step.WriteFile(h, k.Path, content, step.Owner{Mode: 0o600}); err != nil {
		return err
	}
	return step.WriteFile(h, k.Path+".pub", public, step.Owner{Mode: 0o644})
}

func (k *sshKey) made() (private, public []byte, err error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, k.Comment)
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(block), k.line(signer.PublicKey()), nil
}
