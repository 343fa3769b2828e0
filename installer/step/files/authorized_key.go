package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
)

// AuthorizedKeyParams is one key that may log in to do one thing.
type AuthorizedKeyParams struct {
	User string `json:"user"`
	// Comment names the line: one line of the file has it, whatever its key.
	Comment string `json:"comment"`
	// Key is the public key, as authorized_keys(5) of sshd(8) writes it; empty: the line is removed.
	Key string `json:"key,omitempty"`
	// Command is what the key starts, whatever its owner asks for.
	Command string `json:"command,omitempty"`
}

// KindAuthorizedKey names what AuthorizedKeyKind makes.
const KindAuthorizedKey step.KindName = "authorized-key"

// AuthorizedKeyKind keeps one line of a login's authorized_keys. It is "restrict", so there
// is no terminal and no forwarding, and it forces its command. Other lines stay as they are.
func AuthorizedKeyKind() step.Kind {
	return step.KindOf(KindAuthorizedKey, step.OneWay, func(p AuthorizedKeyParams) (step.Step, error) { return newAuthorizedKey(p) })
}

type authorizedKey struct {
	AuthorizedKeyParams
	line string // empty: none
}

func newAuthorizedKey(p AuthorizedKeyParams) (*authorizedKey, error) {
	if p.Comment == "" || strings.ContainsAny(p.Comment, " \t\r\n\"#") {
		return nil, fmt.Errorf("reading the key's comment: %q is not one word", p.Comment)
	}
	if p.Key == "" {
		return &authorizedKey{AuthorizedKeyParams: p}, nil
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(p.Key))
	if err != nil || len(options) > 0 {
		return nil, fmt.Errorf("reading the key of %s: it is no bare public key", p.Comment)
	}
	if p.Command == "" || strings.ContainsAny(p.Command, "\"\\\r\n") {
		return nil, fmt.Errorf("reading the command of %s: %q cannot be forced", p.Comment, p.Command)
	}
	bare := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	return &authorizedKey{p, fmt.Sprintf("restrict,command=%q %s %s", p.Command, bare, p.Comment)}, nil
}

func (k *authorizedKey) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	a, err := k.account(h)
	if err != nil {
		return step.Finding{}, err
	}
	was, err := a.read(h)
	if err != nil {
		return step.Finding{}, err
	}
	want := authorize(was, k.Comment, k.line)
	if bytes.Equal(was, want) {
		return step.Finding{Disrupts: step.Nothing}, nil
	}
	return step.Finding{Change: true, Diff: step.TextDiff(a.file(), was, want), Disrupts: step.Nothing}, nil
}

func (k *authorizedKey) Apply(_ context.Context, h *step.Machine) error {
	a, err := k.account(h)
	if err != nil {
		return err
	}
	was, err := a.read(h)
	if err != nil {
		return err
	}
	folder := h.Path(path.Dir(a.file()))
	if err := os.Mkdir(folder, 0o700); err == nil {
		err = os.Chown(folder, a.uid, a.gid)
		if err != nil {
			return fmt.Errorf("making %s: %w", path.Dir(a.file()), err)
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making %s: %w", path.Dir(a.file()), err)
	}
	return durable.WriteFileAs(h.Path(a.file()), authorize(was, k.Comment, k.line), durable.Owner{Mode: 0o600, UID: a.uid, GID: a.gid})
}

// authorize puts a line in place of the one that has its comment; an empty line removes it.
func authorize(before []byte, comment, line string) []byte {
	var out bytes.Buffer
	for one := range bytes.Lines(before) {
		text := strings.TrimRight(string(one), "\r\n")
		if strings.HasSuffix(strings.TrimSpace(text), " "+comment) && !strings.HasPrefix(strings.TrimSpace(text), "#") {
			continue
		}
		out.WriteString(text + "\n")
	}
	if line != "" {
		out.WriteString(line + "\n")
	}
	return out.Bytes()
}

// account is a login as passwd(5) has it.
type account struct {
	home     string
	uid, gid int
}

func (a account) file() string { return path.Join(a.home, ".ssh", "authorized_keys") }

func (k *authorizedKey) account(h *step.Machine) (account, error) {
	content, err := os.ReadFile(h.Path("/etc/passwd"))
	if err != nil {
		return account{}, fmt.Errorf("looking for the login %s: %w", k.User, err)
	}
	for line := range strings.Lines(string(content)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 7 || f[0] != k.User {
			continue
		}
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err := errors.Join(err1, err2, step.CleanPath(f[5])); err != nil {
			return account{}, fmt.Errorf("reading the login %s: %w", k.User, err)
		}
		return account{f[5], uid, gid}, nil
	}
	return account{}, fmt.Errorf("looking for the login %s: /etc/passwd does not have it; a key can be given to a login of this host alone", k.User)
}

// read is the login's file. Its owner could make it a link to a file that only root may
// read, so links are refused.
func (a account) read(h *step.Machine) ([]byte, error) {
	for _, p := range []string{path.Dir(a.file()), a.file()} {
		info, err := os.Lstat(h.Path(p))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", p, err)
		}
		if info.Mode()&fs.ModeSymlink != 0 || !info.IsDir() && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("looking at %s: it is a link or a special file, and only plain ones are followed", p)
		}
	}
	return step.ReadIfThere(h.Path(a.file()))
}
