package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/textfile"
)

// maxKeyFile caps a file with an SSH key, in bytes.
const maxKeyFile = 1 << 20

// signLater is what to do where nothing can sign yet.
const signLater = "load the key into an ssh-agent (ssh-add), run valtctl at a terminal, or name another key as ssh.identity (ssh-keygen -t ed25519 makes one); " +
	"nothing was fetched, and the bundle is signed when this runs again with the key"

// signingKey is what bundles of the site are signed with: the key of ssh.identity, unlocked by
// the ssh-agent or by its passphrase, or else the only key of the agent. The function ends its
// use.
func (a *app) signingKey(ctx context.Context, s *site.Site) (ssh.Signer, func(), error) {
	identity := identityOf(s)
	bad := func(err error) (ssh.Signer, func(), error) {
		return nil, nil, &problem.Error{Kind: problem.Input, Doing: "signing with", Object: identity, Err: err, Fix: signLater}
	}
	text, err := readIdentity(identity)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bad(err)
	}
	if err == nil {
		key, err := ssh.ParsePrivateKey(text)
		if locked := new(ssh.PassphraseMissingError); err != nil && !errors.As(err, &locked) {
			return bad(fmt.Errorf("it is no private key that can be read: %w", err))
		}
		if err == nil {
			return key, func() {}, nil
		}
	}
	held, done, agentErr := a.heldKey(s)
	switch {
	case held != nil:
		return held, done, nil
	case err != nil:
		return bad(errors.Join(err, agentErr))
	case a.prompt() == nil || a.flags.yes:
		return bad(errors.Join(errors.New("it is protected by a passphrase, and nobody can be asked for it"), agentErr))
	}
	passphrase, err := a.prompt()(ctx, "Passphrase for "+identity+": ", false)
	if err != nil {
		return bad(err)
	}
	key, err := ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase))
	if err != nil {
		return bad(err)
	}
	return key, func() {}, nil
}

// heldKey is the site's key as the ssh-agent holds it; nil: it does not.
func (a *app) heldKey(s *site.Site) (ssh.Signer, func(), error) {
	keys, conn, err := remote.AgentKeys(remote.EnvironmentFrom(os.Getenv))
	if err != nil {
		return nil, nil, err
	}
	want, err := publicKey(s)
	for _, key := range keys {
		if err == nil && bytes.Equal(key.PublicKey().Marshal(), want.Marshal()) || identityOf(s) == "" && len(keys) == 1 {
			return key, func() { conn.Close() }, nil
		}
	}
	conn.Close()
	return nil, nil, nil
}

// publicKey is the site's key as others may have it, which takes no passphrase and no private
// key: its .pub file is enough.
func publicKey(s *site.Site) (ssh.PublicKey, error) {
	identity := identityOf(s)
	text, err := readIdentity(identity)
	if err == nil {
		key, err := ssh.ParsePrivateKey(text)
		if err == nil {
			return key.PublicKey(), nil
		}
		if locked := new(ssh.PassphraseMissingError); errors.As(err, &locked) && locked.PublicKey != nil {
			return locked.PublicKey, nil
		}
	}
	if public, pubErr := textfile.Read(identity+".pub", maxKeyFile); pubErr == nil {
		key, _, _, _, err := ssh.ParseAuthorizedKey(public)
		if err == nil {
			return key, nil
		}
	}
	if err == nil {
		err = errors.New("it is no private key that can be read, and no public key lies beside it")
	}
	return nil, &problem.Error{Kind: problem.Input, Doing: "choosing whose bundles are trusted by", Object: identity, Err: err,
		Fix: fmt.Sprintf("put its public key beside it (%s.pub), or name the maker's public key with --signers", identity)}
}

func readIdentity(identity string) ([]byte, error) {
	if identity == "" {
		return nil, fmt.Errorf("the site file has no ssh.identity: %w", fs.ErrNotExist)
	}
	return textfile.Read(identity, maxKeyFile)
}
