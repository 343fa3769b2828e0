package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/creack/pty"
)

// atTerminal is the product at a terminal, as a person has it: what it shows is waited for
// before the next keys are pressed.
type atTerminal struct {
	tty   *os.File
	cmd   *exec.Cmd
	ended chan struct{}
	now   func() time.Time

	mu    sync.Mutex
	all   bytes.Buffer
	since int // where the output begins that came after the last keys
	last  time.Time
}

// The terminal's size, and how long it must be at rest before a key is pressed.
const (
	terminalColumns = 140
	terminalRows    = 50
	atRest          = 150 * time.Millisecond
	seenWithin      = 5 * time.Minute // seconds, unless the machine is busy
)

// atTerminal starts the product in a folder, at a terminal of its own.
func (e *Env) atTerminal(ctx context.Context, folder string, args ...string) (*atTerminal, error) {
	cmd := e.Command(ctx, args...)
	cmd.Dir = folder
	cmd.Env = append(cmd.Env, "TERM=xterm")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: terminalColumns, Rows: terminalRows})
	if err != nil {
		return nil, fmt.Errorf("starting %s at a terminal: %w", e.Valtctl, err)
	}
	t := &atTerminal{tty: tty, cmd: cmd, ended: make(chan struct{}), now: e.Now}
	go t.watch()
	return t, nil
}

func (t *atTerminal) watch() {
	defer close(t.ended)
	buf := make([]byte, 32<<10)
	for {
		n, err := t.tty.Read(buf)
		t.mu.Lock()
		t.all.Write(buf[:n])
		t.last = t.now()
		t.mu.Unlock()
		if err != nil {
			return // the program has ended
		}
	}
}

// close ends what still runs.
func (t *atTerminal) close() error {
	if t.cmd.ProcessState == nil {
		_ = t.cmd.Process.Kill() // it may have ended by itself
		<-t.ended
		_ = t.cmd.Wait() // killed
	}
	return t.tty.Close()
}

var screenEscapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// shown is what came since the last keys, without colours and cursor moves.
func (t *atTerminal) shown() (text string, rests bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return screenEscapes.ReplaceAllString(string(t.all.Bytes()[t.since:]), ""), t.now().Sub(t.last) > atRest
}

// see waits for words after the last keys, and for the screen to come to rest.
func (t *atTerminal) see(within time.Duration, words string) error {
	until := t.now().Add(within)
	for {
		text, rests := t.shown()
		switch {
		case rests && text != "" && strings.Contains(text, words):
			return nil
		case t.now().After(until):
			return fmt.Errorf("%q does not come within %s; there is %q", words, within, tail(text))
		}
		select {
		case <-t.ended:
			if text, _ := t.shown(); !strings.Contains(text, words) {
				return fmt.Errorf("it ended before %q came; there is %q", words, tail(text))
			}
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func tail(text string) string { return text[max(len(text)-2000, 0):] }

func (t *atTerminal) press(keys string) error {
	t.mu.Lock()
	t.since = t.all.Len()
	t.mu.Unlock()
	if _, err := t.tty.WriteString(keys); err != nil {
		return fmt.Errorf("typing: %w", err)
	}
	return nil
}

// turn is one question and what is done about it: the words to wait for, then downs and ups in
// a list, then text, then Enter.
type turn struct {
	words string
	downs int
	ups   int
	text  string
}

// converse has each question answered in turn.
func (t *atTerminal) converse(turns []turn) error {
	for _, q := range turns {
		if err := t.see(seenWithin, q.words); err != nil {
			return err
		}
		for range q.downs {
			if err := t.key("\x1b[B"); err != nil {
				return err
			}
		}
		for range q.ups {
			if err := t.key("\x1b[A"); err != nil {
				return err
			}
		}
		if err := t.press(q.text + "\r"); err != nil {
			return err
		}
	}
	return nil
}

// key presses one key on its own, as a finger does: the next one comes when the screen has
// been drawn again. Keys that come together are read as one.
func (t *atTerminal) key(bytes string) error {
	if err := t.press(bytes); err != nil {
		return err
	}
	return t.see(seenWithin, "")
}

// end waits for the program to end with an exit code.
func (t *atTerminal) end(within time.Duration, code int) error {
	select {
	case <-t.ended:
	case <-time.After(within):
		text, _ := t.shown()
		return fmt.Errorf("it does not end within %s; there is %q", within, tail(text))
	}
	err := t.cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("waiting for its end: %w", err)
	}
	if got := t.cmd.ProcessState.ExitCode(); got != code {
		text, _ := t.shown()
		return fmt.Errorf("it ended with exit code %d instead of %d; there is %q", got, code, tail(text))
	}
	return nil
}

// interrupt presses Ctrl-C at a question.
func (t *atTerminal) interrupt(words string) error {
	if err := t.see(seenWithin, words); err != nil {
		return err
	}
	return t.press("\x03")
}
