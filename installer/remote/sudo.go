package remote

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"

	"ipivs.com/valtctl/repos/problem"
)

// sudo answers sudo's question for a password. It keeps the password in memory once
// it was given, since every session asks again.
type sudo struct {
	login    string
	password func(ctx context.Context) ([]byte, error)
	prompt   Prompt

	once   sync.Once
	cached []byte
	err    error
}

// argv puts sudo before a command. The C locale keeps its messages readable to
// explainFailure; -p makes its question one that nothing else on the host prints. --stdin is not written -S: the
// env of uutils (0.0.30) takes that for its own --split-string wherever it stands.
func (s *sudo) argv(nonce string, argv []string) []string {
	return append([]string{"env", "LC_ALL=C", "sudo", "--stdin", "-p", nonce + ":", "--"}, argv...)
}

func (s *sudo) secret(ctx context.Context) ([]byte, error) {
	s.once.Do(func() {
		switch {
		case s.password != nil:
			s.cached, s.err = s.password(ctx)
		case s.prompt != nil:
			var answer string
			answer, s.err = s.prompt(ctx, "Password for sudo of "+s.login+": ", false)
			s.cached = []byte(answer)
		default:
			s.err = &problem.Error{Err: fmt.Errorf("%w: it asks for a password and none is given", ErrSudo),
				Fix: "name a file with the password in ssh.sudo_password_file, run valtctl at a terminal, or allow NOPASSWD in sudoers"}
		}
		if s.err == nil && len(s.cached) == 0 {
			s.err = &problem.Error{Err: fmt.Errorf("%w: the password given is empty", ErrSudo)}
		}
	})
	return s.cached, s.err
}

// asked counts how often the question stands in what sudo wrote to standard error. A
// shell that traces its commands (set -x) prints the question too, after "-p".
func asked(stderr, nonce string) int {
	count := 0
	for line := range strings.Lines(stderr) {
		before, _, found := strings.Cut(line, nonce)
		if found && !strings.Contains(before, "-p") {
			count += strings.Count(line, nonce)
		}
	}
	return count
}

// asksOther says what a second question means: that the answer to the first was wrong, or that sudo asks
// for something else too. sudo-rs shows the words of PAM after the prompt: "[sudo: PROMPT] Password: ".
func asksOther(stderr, nonce string) error {
	var questions []string
	for line := range strings.Lines(stderr) {
		for _, after := range strings.Split(line, nonce)[1:] {
			questions = append(questions, strings.Trim(after, ":] \r\n"))
		}
	}
	last := questions[len(questions)-1]
	if last == "" || last == questions[0] || strings.HasPrefix(last, questions[0]) {
		return wrongPassword()
	}
	return &problem.Error{Err: fmt.Errorf("%w: beside the password it asks: %q", ErrSudo, last),
		Fix: "let sudo of this login ask for a password alone (PAM's service sudo), or log in as root"}
}

// dialogue is what is said with sudo on one program's standard error and input.
type dialogue struct {
	sudo     *sudo
	nonce    string
	cmd      *command
	timer    *patience
	answered bool
}

// hear is given all of standard error so far. It answers the first question; a second
// one means that the answer was wrong. An error ends the program.
func (d *dialogue) hear(ctx context.Context, text string) error {
	if d.sudo == nil {
		return nil
	}
	questions := asked(text, d.nonce)
	if questions == 0 || questions == 1 && d.answered {
		return nil
	}
	if questions > 1 {
		d.cmd.stop()
		return asksOther(text, d.nonce)
	}
	d.timer.pause()
	defer d.timer.resume()
	d.answered = true
	secret, err := d.sudo.secret(ctx)
	if err == nil {
		_, err = d.cmd.stdin.Write(append(bytes.Clone(secret), '\n'))
	}
	if err != nil {
		d.cmd.stop()
		return fmt.Errorf("answering sudo: %w", err)
	}
	return nil
}
