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
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/safepath"
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
	var was []byte
	folder, err := a.folder(h, false)
	if err == nil {
		defer folder.Close()
		was, err = a.read(folder)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
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
	folder, err := a.folder(h, true)
	if err != nil {
		return err
	}
	defer folder.Close()
	was, err := a.read(folder)
	if err != nil {
		return err
	}
	return folder.WriteFile(keysFile, authorize(was, k.Comment, k.line), durable.Owner{Mode: 0o600, UID: a.uid, GID: a.gid}, nil)
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

// Where sshd looks for a login's keys (sshd_config(5), AuthorizedKeysFile).
const (
	keysFolder = ".ssh"
	keysFile   = "authorized_keys"
	maxKeys    = 1 << 20 // bytes; some thousand keys
)

func (a account) file() string { return path.Join(a.home, keysFolder, keysFile) }

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

// folder opens the login's own folder of keys, made if it is to be. Its owner could make it, at
// any moment, a link to where only root may write: a link is refused, and what was opened stays what it is.
func (a account) folder(h *step.Machine, making bool) (*safepath.Folder, error) {
	home, err := h.Files().Folder(a.home)
	if err != nil {
		return nil, err
	}
	defer home.Close()
	keys, err := home.Enter(keysFolder)
	if !making || !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	if err := home.Mkdir(keysFolder, 0o700); err != nil {
		return nil, err
	}
	if keys, err = home.Enter(keysFolder); err != nil {
		return nil, err
	}
	if err := keys.Give(durable.Owner{Mode: 0o700, UID: a.uid, GID: a.gid}); err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	return keys, nil
}

// read is the login's file; none where there is none. What it holds is written again for the login alone, so a
// file that the login may not read itself, a hard link to one of root's, is refused.
func (a account) read(keys *safepath.Folder) ([]byte, error) {
	content, info, err := keys.ReadFile(keysFile, maxKeys)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if uid, _, known := safepath.OwnerOf(info); known && uid != a.uid && info.Mode().Perm()&0o004 == 0 {
		return nil, &problem.Error{Kind: problem.Check, Doing: "reading", Object: a.file(), Err: errors.New("it is another user's, and the login may not read it"),
			Fix: "see where it comes from, and give it to the login or remove it"}
	}
	return content, nil
}
