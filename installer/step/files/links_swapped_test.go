package files

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/testdraw"
)

// login is whose folder the writers below write in.
const login = 51234

// victims are the folders that a swapped link leads to: one of root's elsewhere, and one in the
// login's own folder, to which a link leads that does not leave it.
var victims = []string{"/etc/victim", "/home/valt/victim"}

// swapped is one thing that root does below a folder of somebody else's, and the name on its way that is
// swapped meanwhile with a link.
type swapped struct {
	kind   step.Kind
	params any
	name   string                              // a folder, or a file
	undone bool                                // each time it is kept first, and put back
	clear  func(t *testing.T, h *step.Machine) // before each time, what the time before left
}

func swappedWriters() map[string]swapped {
	key := AuthorizedKeyParams{User: "valt", Comment: "c", Key: someKey, Command: "x"}
	return map[string]swapped{
		"a key":                   {kind: AuthorizedKeyKind(), params: key, name: "/home/valt/.ssh"},
		"a key in a file":         {kind: AuthorizedKeyKind(), params: key, name: "/home/valt/.ssh/authorized_keys"},
		"a file in it":            {kind: FileKind(), params: FileParams{Path: "/home/valt/.ssh/own", Mode: "0600", UID: login, Content: "mine"}, name: "/home/valt/.ssh"},
		"a file":                  {kind: FileKind(), params: FileParams{Path: "/home/valt/.ssh/deep/own", Mode: "0600", UID: login, Content: "mine"}, name: "/home/valt/.ssh"},
		"a file that is put back": {kind: FileKind(), params: FileParams{Path: "/home/valt/.ssh/shadow", Mode: "0600", UID: login, Content: "mine"}, name: "/home/valt/.ssh", undone: true},
		"a password":              {kind: PasswordKind(), params: PasswordParams{Path: "/home/valt/.ssh/own", UID: login}, name: "/home/valt/.ssh"},
		"a password in a file":    {kind: PasswordKind(), params: PasswordParams{Path: "/home/valt/.ssh/authorized_keys", UID: login}, name: "/home/valt/.ssh/authorized_keys"},
		"a folder":                {kind: DirectoryKind(), params: DirectoryParams{Path: "/home/valt/.ssh", Mode: "0777", UID: login}, name: "/home/valt/.ssh"},
		"a folder in a folder":    {kind: DirectoryKind(), params: DirectoryParams{Path: "/home/valt/.ssh/more", Mode: "0777", UID: login}, name: "/home/valt/.ssh", clear: func(t *testing.T, h *step.Machine) { _ = os.RemoveAll(h.Path("/home/valt/.ssh/more")) }},
		"a removal":               {kind: AbsentKind(), params: AbsentParams{Paths: []string{"/home/valt/.ssh/shadow"}}, name: "/home/valt/.ssh"},
	}
}

// A login, or a container's user, swaps what it owns with links to root's folders while root writes there.
func TestLinksSwapped(t *testing.T) {
	times := testdraw.Times(t, 200, 10_000)
	for name, w := range swappedWriters() {
		t.Run(name, func(t *testing.T) {
			testdraw.Tried(t, times, "writes while a login swaps folders and files with links")
			won, done := 0, 0
			h := preyed(t)
			before := state(t, h)
			s := steptest.MakeStep(t, w.kind, w.params)
			stop, leaked := swap(t, h, w.name)
			defer stop()
			for n := range times {
				h.Keep = ""
				if w.undone {
					h.Keep = filepath.Join(h.Root, "kept", string(rune('a'+n%26)))
					_ = os.RemoveAll(h.Keep)
				}
				if w.clear != nil {
					w.clear(t, h)
				}
				_, _ = s.Inspect(t.Context(), h)
				if err := s.Apply(t.Context(), h); err == nil {
					done++
				}
				if u, ok := s.(step.Undoer); ok && w.undone {
					_ = u.Undo(t.Context(), h)
				}
				if state(t, h) != before {
					won++
					restore(t, h)
				}
			}
			stop()
			if err := s.Apply(t.Context(), h); err != nil {
				t.Errorf("left alone it fails too: %v", err)
			}
			if leaked() {
				t.Error("the login was given what only root may read")
			}
			t.Logf("%d of %d were done, the others refused", done, times)
			if won > 0 {
				t.Errorf("%d of %d were won by the links", won, times)
			}
		})
	}
}

// preyed is a host with a login's folder, and with root's that links may lead to.
func preyed(t *testing.T) *step.Machine {
	t.Helper()
	h := steptest.RootMachine(t, nil)
	steptest.Place(t, h, "/etc/passwd", "valt:x:51234:51234::/home/valt:/bin/bash\n")
	steptest.Place(t, h, "/home/valt/.ssh/authorized_keys", "# mine, of many characters\n")
	err := errors.Join(os.Chown(h.Path("/home/valt"), login, login), os.Chown(h.Path("/home/valt/.ssh"), login, login),
		os.Chown(h.Path("/home/valt/.ssh/authorized_keys"), login, login))
	if err != nil {
		t.Fatal(err)
	}
	restore(t, h)
	return h
}

// restore makes root's folders what they were.
func restore(t *testing.T, h *step.Machine) {
	t.Helper()
	for _, v := range victims {
		full := h.Path(v)
		err := errors.Join(os.RemoveAll(full), os.Mkdir(full, 0o700), os.WriteFile(full+"/shadow", []byte("root:hash"), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// state is all that root's folders are.
func state(t *testing.T, h *step.Machine) string {
	t.Helper()
	var all strings.Builder
	for _, v := range victims {
		err := filepath.WalkDir(h.Path(v), func(at string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			all.WriteString(strings.Join([]string{at, info.Mode().String(), string(rune('0' + st.Uid%10)), "\n"}, " "))
			if info.Mode().IsRegular() {
				text, err := os.ReadFile(at)
				all.Write(text)
				return err
			}
			return nil
		})
		if err != nil {
			return err.Error()
		}
	}
	return all.String()
}

// swap exchanges a name with links to root's folders as fast as it can, until it is stopped: then
// the name is what it was. Leaked says, once it is stopped, whether the login was given root's secret.
func swap(t *testing.T, h *step.Machine, name string) (stop func(), leaked func() bool) {
	t.Helper()
	full := h.Path(name)
	info, err := os.Stat(full)
	if err != nil {
		t.Fatal(err)
	}
	var links, targets []string
	for i, v := range victims {
		to, err := filepath.Rel(filepath.Dir(full), h.Path(v))
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() {
			to += "/shadow"
		}
		link := h.Path("/home/valt/link" + string(rune('0'+i)))
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
		links, targets = append(links, link), append(targets, to)
	}
	ended := make(chan struct{})
	var running sync.WaitGroup
	leak := false
	running.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-ended:
				return
			default:
			}
			if info.IsDir() {
				link := links[n%len(links)]
				_ = unix.Renameat2(unix.AT_FDCWD, full, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
				pause(rand.IntN(2000))
				_ = unix.Renameat2(unix.AT_FDCWD, full, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
			} else { // what root renames over it takes the link away
				if now, err := os.Lstat(full); err == nil && now.Mode().IsRegular() {
					text, _ := os.ReadFile(full)
					leak = leak || strings.Contains(string(text), "root:hash")
				}
				_, _ = os.Symlink(targets[n%len(links)], full+".link"), os.Rename(full+".link", full)
				pause(rand.IntN(2000))
				_, _, _ = os.WriteFile(full+".own", []byte("# mine\n"), 0o600), os.Chown(full+".own", login, login), os.Rename(full+".own", full)
			}
			pause(rand.IntN(20_000 + 1_000_000*rand.IntN(2))) // root is to come through at times
		}
	})
	return sync.OnceFunc(func() { close(ended); running.Wait() }), func() bool { return leak }
}

// pause lasts a few nanoseconds a turn: less than sleeping can.
func pause(turns int) {
	for range turns {
		_ = turns
	}
}
