package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/repos/plain"
)

// terminal is the person's terminal, or nil where standard input is none.
func (a *app) terminal() *os.File {
	if f, ok := a.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// prompt asks the person one question at a time, also when several hosts have one; nil
// without a terminal, so that nothing waits for an answer.
func (a *app) prompt() remote.Prompt {
	tty := a.terminal()
	if tty == nil {
		return nil
	}
	var one sync.Mutex
	return func(ctx context.Context, question string, echo bool) (string, error) {
		one.Lock()
		defer one.Unlock()
		return a.askAt(ctx, tty, question, echo)
	}
}

// askAt puts question to the terminal. When ctx ends first, the terminal is as before.
func (a *app) askAt(ctx context.Context, tty *os.File, question string, echo bool) (string, error) {
	fmt.Fprint(a.err, plain.Under(question))
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return "", fmt.Errorf("asking %q: %w", question, err)
	}
	type answer struct {
		text string
		err  error
	}
	given := make(chan answer, 1)
	go func() {
		text, err := readAnswer(tty, echo)
		given <- answer{text, err}
	}()
	select {
	case g := <-given:
		if !echo {
			fmt.Fprintln(a.err)
		}
		return g.text, g.err
	case <-ctx.Done():
		fmt.Fprintln(a.err)
		if err := term.Restore(int(tty.Fd()), before); err != nil {
			return "", fmt.Errorf("restoring the terminal: %w", err)
		}
		return "", ctx.Err()
	}
}

func readAnswer(tty *os.File, echo bool) (string, error) {
	if !echo {
		secret, err := term.ReadPassword(int(tty.Fd()))
		return string(secret), err
	}
	line, err := bufio.NewReader(tty).ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// confirm asks a yes-or-no question. Anything but a clear yes is no.
func (a *app) confirm(ctx context.Context, tty *os.File, question string) (bool, error) {
	text, err := a.askAt(ctx, tty, question+" [y/N] ", true)
	if err != nil {
		return false, err
	}
	text = strings.ToLower(strings.TrimSpace(text))
	return text == "y" || text == "yes", nil
}
