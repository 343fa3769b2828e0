package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	sshagent "golang.org/x/crypto/ssh/agent"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

// lockedSite is a site whose SSH key is under a passphrase.
func lockedSite(t *testing.T) (*site.Site, ed25519.PrivateKey, ssh.PublicKey) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	known, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return &site.Site{Hosts: []site.Host{{SSH: site.SSH{Identity: file}}}}, key, known
}

// anAgent holds keys, as ssh-agent does.
func anAgent(t *testing.T, keys ...ed25519.PrivateKey) {
	t.Helper()
	ring := sshagent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(sshagent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = sshagent.ServeAgent(ring, conn) }() // until the other side ends it
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", socket)
}

func TestABundleIsSignedByTheAgentThatHoldsTheKey(t *testing.T) {
	s, key, public := lockedSite(t)
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{err: io.Discard}
	anAgent(t, other)
	if _, _, err := a.signingKey(t.Context(), s); err == nil || problem.KindOf(err) != problem.Input || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("with another key in the agent: %v", err)
	}
	anAgent(t, other, key)
	signer, done, err := a.signingKey(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	signature, err := signer.Sign(nil, []byte("a bundle"))
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Verify([]byte("a bundle"), signature); err != nil {
		t.Error(err)
	}
}

func TestWhatChecksABundleNeedsNoPrivateKey(t *testing.T) {
	s, _, public := lockedSite(t)
	file := s.Hosts[0].SSH.Identity
	check := func(what string) {
		t.Helper()
		if got, err := publicKey(s); err != nil || !bytes.Equal(got.Marshal(), public.Marshal()) {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("a key under a passphrase")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := publicKey(s); err == nil || !strings.Contains(problem.All(err)[0].Fix, "--signers") {
		t.Errorf("neither key: %v", err)
	}
	if err := os.WriteFile(file+".pub", append([]byte("\ufeff"), ssh.MarshalAuthorizedKey(public)...), 0o644); err != nil {
		t.Fatal(err)
	}
	check("the public key alone")
}
