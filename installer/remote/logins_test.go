package remote_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	sshagent "golang.org/x/crypto/ssh/agent"

	"ipivs.com/valtctl/installer/remote"
)

// keyring is an ssh-agent that counts how often it was connected to.
func keyring(t *testing.T, key any) (socket string, asked func() int) {
	t.Helper()
	ring := sshagent.NewKeyring()
	if err := ring.Add(sshagent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	count := make(chan int, 1)
	count <- 0
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			count <- <-count + 1
			go sshagent.ServeAgent(ring, conn)
		}
	}()
	return socket, func() int {
		n := <-count
		count <- n
		return n
	}
}

func rawIdentity(t *testing.T, s *server) any {
	t.Helper()
	text, err := os.ReadFile(s.identity)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAgentIsAskedOnlyWhereNobodyNamedAKey(t *testing.T) {
	s := startSSHD(t)
	socket, asked := keyring(t, rawIdentity(t, s))
	o := s.options("free")
	o.Env.AgentSocket = socket
	dial(t, o)
	if n := asked(); n != 0 {
		t.Errorf("the ssh-agent was asked %d times although an identity is named", n)
	}
	o.Identity = ""
	dial(t, o)
	if n := asked(); n != 1 {
		t.Errorf("the ssh-agent was asked %d times, want once", n)
	}
}

func TestLockedKey(t *testing.T) {
	s := startSSHD(t)
	key := rawIdentity(t, s)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(t.TempDir(), "locked")
	write(t, locked, string(pem.EncodeToMemory(block)))

	t.Run("is taken from the ssh-agent", func(t *testing.T) {
		o := s.options("free")
		o.Identity = locked
		o.Env.AgentSocket, _ = keyring(t, key)
		dial(t, o)
	})
	t.Run("is unlocked by the person", func(t *testing.T) {
		o := s.options("free")
		o.Identity = locked
		o.Prompt = func(_ context.Context, question string, echo bool) (string, error) {
			if !strings.Contains(question, locked) || echo {
				t.Errorf("asked %q, echo %v", question, echo)
			}
			return "open sesame", nil
		}
		dial(t, o)
	})
}

func TestPersonTypesThePasswords(t *testing.T) {
	bare(t)
	s := startSSHD(t, "AuthenticationMethods keyboard-interactive")
	var questions []string
	o := s.options("asked")
	o.Identity = ""
	o.Prompt = func(_ context.Context, question string, echo bool) (string, error) {
		questions = append(questions, question)
		if echo {
			t.Errorf("%q was asked with echo", question)
		}
		return loginPassword, nil
	}
	client(t, dial(t, o), theAgent(t))
	if len(questions) != 2 || !strings.Contains(questions[0], "Password") || !strings.Contains(questions[1], "sudo") {
		t.Errorf("asked %q, want the login's password and then sudo's once", questions)
	}
}

func TestUsualIdentity(t *testing.T) {
	s := startSSHD(t)
	home := t.TempDir()
	if err := os.Mkdir(home+"/.ssh", 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.identity)
	if err != nil {
		t.Fatal(err)
	}
	write(t, home+"/.ssh/id_ed25519", string(text))
	o := s.options("")
	o.Identity, o.Env = "", remote.EnvironmentFrom(func(name string) string {
		return map[string]string{"HOME": home, "USER": "free"}[name]
	})
	dial(t, o)
}

func ecdsaKey(t *testing.T) ssh.PublicKey {
	t.Helper()
	return ecdsaFile(t, filepath.Join(t.TempDir(), "ecdsa"))
}

func ecdsaFile(t *testing.T, path string) ssh.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}
