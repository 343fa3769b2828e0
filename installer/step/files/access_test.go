package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
)

func TestAKeyIsMadeOnceAndStaysRootOnly(t *testing.T) {
	h := steptest.RootMachine(t, nil)
	s := steptest.MakeStep(t, SSHKeyKind(), SSHKeyParams{Path: "/var/lib/valtctl/schedule/id_ed25519", Comment: "valtctl-schedule"})
	steptest.Settles(t, s, h)
	private := h.Path("/var/lib/valtctl/schedule/id_ed25519")
	before, err := os.ReadFile(private)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(before)
	if err != nil || signer.PublicKey().Type() != ssh.KeyAlgoED25519 {
		t.Fatalf("it made %v, %v", signer, err)
	}
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if err := os.Remove(private + ".pub"); err != nil {
		t.Fatal(err)
	}
	steptest.Settles(t, s, h)
	if after, err := os.ReadFile(private); err != nil || string(after) != string(before) {
		t.Errorf("the key was made again: %v", err)
	}
}

// here is a login of the machine that is the one running the tests, so that it may own files.
func here(t *testing.T, h *step.Machine) {
	t.Helper()
	steptest.Place(t, h, "/etc/passwd", fmt.Sprintf("root:x:0:0:root:/root:/bin/bash\nvalt:x:%d:%d::/home/valt:/bin/bash\n", os.Getuid(), os.Getgid()))
	if err := os.MkdirAll(h.Path("/home/valt"), 0o755); err != nil {
		t.Fatal(err)
	}
}

const someKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8R2pK1cN8Nf0HJ8mP0VY5ZQqv1rJH3s1gZK9iDkLwF"

func TestAnAuthorizedKeyCanDoOneThing(t *testing.T) {
	h := steptest.RootMachine(t, nil)
	here(t, h)
	const others = "# mine\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8R2pK1cN8Nf0HJ8mP0VY5ZQqv1rJH3s1gZK9iDkLwG ada@laptop"
	steptest.Place(t, h, "/home/valt/.ssh/authorized_keys", others)
	params := AuthorizedKeyParams{User: "valt", Comment: "valtctl-schedule", Key: someKey, Command: "sudo -n /x/valtctl agent --restricted"}
	steptest.Settles(t, steptest.MakeStep(t, AuthorizedKeyKind(), params), h)
	const line = `restrict,command="sudo -n /x/valtctl agent --restricted" ` + someKey + " valtctl-schedule\n"
	read := func() string {
		t.Helper()
		text, err := os.ReadFile(h.Path("/home/valt/.ssh/authorized_keys"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := read(); got != others+"\n"+line {
		t.Errorf("got:\n%s", got)
	}
	params.Command = "sudo -n /y/valtctl agent --restricted"
	steptest.Settles(t, steptest.MakeStep(t, AuthorizedKeyKind(), params), h)
	if got := read(); strings.Count(got, "valtctl-schedule") != 1 || !strings.Contains(got, "/y/valtctl") {
		t.Errorf("the line was not replaced:\n%s", got)
	}
	steptest.Settles(t, steptest.MakeStep(t, AuthorizedKeyKind(), AuthorizedKeyParams{User: "valt", Comment: "valtctl-schedule"}), h)
	if got := read(); got != others+"\n" {
		t.Errorf("what was there before is not all that is left:\n%s", got)
	}
}

func TestAnAuthorizedKeyIsRefused(t *testing.T) {
	bad := map[string]AuthorizedKeyParams{
		"options of its own":           {User: "valt", Comment: "c", Key: "no-pty " + someKey, Command: "x"},
		"no command":                   {User: "valt", Comment: "c", Key: someKey},
		"a command that ends its word": {User: "valt", Comment: "c", Key: someKey, Command: `x",no-restrict`},
		"two words as its name":        {User: "valt", Comment: "c d", Key: someKey, Command: "x"},
		"no key":                       {User: "valt", Comment: "c", Key: "hello", Command: "x"},
	}
	for name, p := range bad {
		if _, err := newAuthorizedKey(p); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	h := steptest.RootMachine(t, nil)
	here(t, h)
	secret := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(secret, []byte("root:hash"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(h.Path("/home/valt/.ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, h.Path("/home/valt/.ssh/authorized_keys")); err != nil {
		t.Fatal(err)
	}
	s := steptest.MakeStep(t, AuthorizedKeyKind(), AuthorizedKeyParams{User: "valt", Comment: "c", Key: someKey, Command: "x"})
	if found, err := s.Inspect(t.Context(), h); err == nil {
		t.Errorf("a link is followed: %+v", found)
	}
	if err := s.Apply(t.Context(), h); err == nil {
		t.Error("a link is replaced by what it points to")
	}
	s = steptest.MakeStep(t, AuthorizedKeyKind(), AuthorizedKeyParams{User: "nobody-here", Comment: "c", Key: someKey, Command: "x"})
	if _, err := s.Inspect(t.Context(), h); err == nil || !strings.Contains(err.Error(), "nobody-here") {
		t.Errorf("a login that is not there: %v", err)
	}
}

// TestKeysThatAreNoKeysAreRefused: a login decides what lies at its authorized_keys, and root reads it.
func TestKeysThatAreNoKeysAreRefused(t *testing.T) {
	place := map[string]func(h *step.Machine, file string) error{
		"more than are keys": func(_ *step.Machine, file string) error { return os.Truncate(file, maxKeys+1) },
		"a pipe that nobody writes to": func(_ *step.Machine, file string) error {
			return errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600))
		},
		"another user's that it may not read": func(_ *step.Machine, file string) error {
			return errors.Join(os.Chown(file, 0, 0), os.Chmod(file, 0o600))
		},
		"a folder of keys that is a link": func(h *step.Machine, file string) error { return relinked(h.Path("/home/valt/.ssh")) },
		"a folder of keys that is a plain file": func(h *step.Machine, file string) error {
			return errors.Join(os.RemoveAll(h.Path("/home/valt/.ssh")), os.WriteFile(h.Path("/home/valt/.ssh"), nil, 0o600))
		},
	}
	for name, spoil := range place {
		t.Run(name, func(t *testing.T) {
			h := preyed(t)
			if err := spoil(h, h.Path("/home/valt/.ssh/authorized_keys")); err != nil {
				t.Fatal(err)
			}
			before := state(t, h)
			s := steptest.MakeStep(t, AuthorizedKeyKind(), AuthorizedKeyParams{User: "valt", Comment: "c", Key: someKey, Command: "x"})
			if found, err := s.Inspect(t.Context(), h); err == nil {
				t.Errorf("it is taken: %+v", found)
			}
			if err := s.Apply(t.Context(), h); err == nil || !strings.Contains(err.Error(), ".ssh") {
				t.Errorf("got %v", err)
			}
			if state(t, h) != before {
				t.Error("something else was changed")
			}
		})
	}
}

// relinked makes a folder a link to itself under another name: also what leads nowhere else is refused.
func relinked(folder string) error {
	return errors.Join(os.Rename(folder, folder+"2"), os.Symlink(filepath.Base(folder)+"2", folder))
}
