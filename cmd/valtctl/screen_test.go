//go:build unix

package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/hinshun/vt10x"
)

var updateScreens = flag.Bool("update", false, "write the golden screens, and what is said of bad input")

// The terminal of the tests: wide enough for most lines, and high enough for a site.
const (
	screenColumns = 120
	screenRows    = 60
	screenTail    = 14 // lines of a screen that are kept, from its end
)

// screen is valtctl at a real terminal, with what a person would see of it.
type screen struct {
	t     *testing.T
	dir   string
	tty   *os.File
	cmd   *exec.Cmd
	ended chan struct{}

	mu    sync.Mutex
	term  vt10x.Terminal
	since bytes.Buffer // raw output since the last keys
	last  time.Time    // of output

	kept strings.Builder // the screens so far
	want string          // those that were looked at and found right
	path string          // of want
	hide func(string) string
}

// startScreen runs valtctl in dir at a terminal of its own. Its golden screens have that name.
func startScreen(t *testing.T, golden, dir string, args ...string) *screen {
	t.Helper()
	file := filepath.Join("../../testdata/guided", golden+".screens")
	want, err := os.ReadFile(file)
	if err != nil && !*updateScreens {
		t.Fatal(err)
	}
	s := &screen{t: t, dir: dir, path: file, want: string(want), ended: make(chan struct{}), term: vt10x.New(vt10x.WithSize(screenColumns, screenRows)), hide: func(s string) string { return s }}
	s.cmd = exec.Command("valtctl", args...)
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), "HOME="+dir+"/home", "XDG_STATE_HOME="+dir+"/state", "TZ=America/Chicago", "TERM=xterm", "SSH_AUTH_SOCK=", "USER=kim",
		// promptui and readline share a line between goroutines; their races are told in a file.
		"GORACE=exitcode=0 log_path="+dir+"/race "+endsAtOnce)
	tty, err := pty.StartWithSize(s.cmd, &pty.Winsize{Cols: screenColumns, Rows: screenRows})
	if err != nil {
		t.Fatalf("starting valtctl at a terminal: %v", err)
	}
	s.tty = tty
	go s.watch()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has ended already unless the test failed
		<-s.ended
		tty.Close()
	})
	return s
}

func (s *screen) watch() {
	defer close(s.ended)
	buf := make([]byte, 32<<10)
	cut := 0 // bytes of a character whose rest is yet to come
	for {
		n, err := s.tty.Read(buf[cut:])
		n += cut
		whole := wholeRunes(buf[:n])
		if err != nil {
			whole = n
		}
		s.mu.Lock()
		_, _ = s.term.Write(buf[:whole]) // it takes anything, but a character in one piece only
		s.since.Write(buf[:whole])
		s.last = time.Now()
		s.mu.Unlock()
		cut = copy(buf, buf[whole:n])
		if err != nil {
			return // the program has ended
		}
	}
}

// wholeRunes is how much of text there is before a character that is cut off at its end.
func wholeRunes(text []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if at := len(text) - back; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				return at
			}
			break
		}
	}
	return len(text)
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// A screen may take long on a busy machine, in its middle too. One that rests is taken for
// drawn at once where it is the wanted one, and otherwise when it has rested for long.
const (
	screenComes = 5 * time.Minute
	screenRests = 120 * time.Millisecond
	screenStays = 30 * time.Second
)

// see waits until the terminal shows some words that it did not show before the last keys,
// and comes to rest, and keeps what it shows then.
func (s *screen) see(words string) {
	s.t.Helper()
	deadline := time.Now().Add(screenComes)
	for {
		s.mu.Lock()
		found := strings.Contains(escapes.ReplaceAllString(s.since.String(), ""), words)
		rests := time.Since(s.last)
		s.mu.Unlock()
		shown := s.kept.String() + s.tail()
		if found && rests > screenRests && (rests > screenStays || *updateScreens || strings.HasPrefix(s.want, shown)) {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%q does not come; the screen is\n%s", words, s.text())
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.kept.WriteString(s.tail())
}

// tail is what is kept of a screen.
func (s *screen) tail() string {
	lines := strings.Split(s.text(), "\n")
	if len(lines) > screenTail {
		lines = lines[len(lines)-screenTail:]
	}
	return strings.Join(lines, "\n") + "\n"
}

// text is the screen without what is blank.
func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, l := range strings.Split(s.term.String(), "\n") {
		lines = append(lines, strings.TrimRight(s.hide(l), " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// press types keys as they are.
func (s *screen) press(name, bytes string) {
	s.t.Helper()
	s.mu.Lock()
	s.since.Reset()
	s.mu.Unlock()
	s.kept.WriteString("\n────── " + name + "\n")
	if _, err := s.tty.WriteString(bytes); err != nil {
		s.t.Fatalf("typing: %v", err)
	}
}

// answer types a line, and waits for what comes.
func (s *screen) answer(text, words string) {
	s.t.Helper()
	s.press(strings.TrimSpace(text+" ⏎"), text+"\r")
	s.see(words)
}

// enter takes what is offered, and waits for what comes, again and again.
func (s *screen) enter(words ...string) {
	s.t.Helper()
	for _, w := range words {
		s.answer("", w)
	}
}

// down moves down a list n times and takes what is there.
func (s *screen) down(n int, words string) {
	s.t.Helper()
	for range n {
		s.press("↓", "\x1b[B")
		s.moved() // a key on its own, as a finger presses it
	}
	s.answer("", words)
}

// moved waits until the last key has changed the screen.
func (s *screen) moved() {
	s.t.Helper()
	for deadline := time.Now().Add(screenComes); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		changed := s.since.Len() > 0 && time.Since(s.last) > screenRests/2
		s.mu.Unlock()
		if changed {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("a key changes nothing; the screen is\n%s", s.text())
		}
	}
}

// end waits for the program's end and wants its exit code.
func (s *screen) end(code int) {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(screenComes):
		s.t.Fatalf("valtctl does not end; the screen is\n%s", s.text())
	}
	_ = s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Fatalf("valtctl ended with exit code %d, want %d; the screen is\n%s", got, code, s.text())
	}
}

// golden compares the screens with those that were looked at and found right.
func (s *screen) golden() {
	s.t.Helper()
	got := s.kept.String()
	if *updateScreens {
		if err := os.WriteFile(s.path, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(s.want, got); d != "" {
		s.t.Errorf("%s (-want +got):\n%s", s.path, d)
	}
}

// file is a file of the folder that valtctl runs in.
func (s *screen) file(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}
