package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/repos/problem"
)

// What can stand between a controller and a host, for callers that tell them apart.
var (
	ErrUnresolved  = errors.New("the name does not resolve")
	ErrUnreachable = errors.New("no route to it")
	ErrRefused     = errors.New("nothing listens there (connection refused)")
	ErrTimeout     = errors.New("no answer in time")
	ErrHostKey     = errors.New("the host key is not a trusted one")
	ErrLogin       = errors.New("the server refused the login")
	ErrSudo        = errors.New("sudo refused")
	ErrNoExec      = errors.New("the file system is mounted noexec")
	ErrDiskFull    = errors.New("no space left on the host")
	ErrNoise       = errors.New("the login shell prints too much")
	ErrArch        = errors.New("the binary is for another architecture")
)

// errMissing says that the host does not have this agent yet.
var errMissing = errors.New("the agent is not on the host")

func (h hop) problem(err error, fix string) error {
	return &problem.Error{Kind: problem.Failed, Doing: "connecting to", Object: h.String(), Err: err, Fix: fix}
}

// explainDial turns the error of a TCP dial, direct or through a jump host, into one
// that says what is in the way.
func explainDial(h hop, err error) error {
	var dns *net.DNSError
	var open *ssh.OpenChannelError
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return h.problem(err, "")
	case errors.As(err, &open):
		return explainForward(h, open)
	case errors.As(err, &dns):
		return h.problem(fmt.Errorf("%w: %w", ErrUnresolved, err), "write the host's address in the site file, or correct the name or the DNS server")
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(err.Error(), "refused"): // Windows has a number of its own
		return h.problem(fmt.Errorf("%w: %w", ErrRefused, err), "start sshd on the host, or correct ssh.port in the site file")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return h.problem(fmt.Errorf("%w: %w", ErrTimeout, err), "a firewall on the way drops it, or the host is down: let TCP "+fmt.Sprint(h.port)+" through, or name a jump host in ssh.jump")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), strings.Contains(err.Error(), "unreachable"):
		return h.problem(fmt.Errorf("%w: %w", ErrUnreachable, err), "check the address and this machine's route to it")
	}
	return h.problem(err, "")
}

// explainForward is explainDial for a dial that the jump host made for us.
func explainForward(h hop, open *ssh.OpenChannelError) error {
	if open.Reason == ssh.Prohibited {
		return h.problem(fmt.Errorf("the jump host does not let this login reach it: %w", open),
			"allow TCP forwarding for this login on the jump host (AllowTcpForwarding, PermitOpen)")
	}
	cause := ErrUnreachable
	for text, known := range map[string]error{"refused": ErrRefused, "timed out": ErrTimeout, "not known": ErrUnresolved} {
		if strings.Contains(open.Message, text) {
			cause = known
		}
	}
	return h.problem(fmt.Errorf("the jump host cannot reach it: %w: %w", cause, open),
		"check the address as the jump host sees it, and the firewall between the two")
}

// explainFailure turns the end of a program that was started as root into what was in
// the way. stderr is the end of its standard error; path is the agent's.
func explainFailure(path, stderr string, code int) error {
	has := func(words ...string) bool { return lineWith(stderr, "", words...) }
	onAgent := func(words ...string) bool { return path != "" && lineWith(stderr, path, words...) }
	shown := &exitError{code: code, stderr: strings.TrimSpace(stderr)}
	switch {
	case has("not in the sudoers file", "is not allowed to execute", "may not run sudo", "I'm afraid I can't do that"): // sudo-rs
		return &problem.Error{Err: fmt.Errorf("%w: the login is not allowed to: %w", ErrSudo, shown),
			Fix: "let the login run any command as root in sudoers, or log in as root"}
	case has("must have a tty", "a terminal is required"):
		return &problem.Error{Err: fmt.Errorf("%w: it wants a terminal: %w", ErrSudo, shown),
			Fix: "exempt the login from requiretty in sudoers"}
	case has("incorrect password attempt", "incorrect authentication attempt", "Authentication failed, try again"):
		return wrongPassword()
	case has("interaction is required"):
		return &problem.Error{Err: fmt.Errorf("%w: it wants to ask: %w", ErrSudo, shown),
			Fix: "name a file with the password in ssh.sudo_password_file, or allow NOPASSWD in sudoers"}
	case has("No space left on device", "Disk quota exceeded"):
		return &problem.Error{Err: fmt.Errorf("%w: %w", ErrDiskFull, shown), Fix: "make room on the file system that holds /var/lib"}
	case has("Exec format error", "cannot execute binary file"):
		return &problem.Error{Err: fmt.Errorf("%w: %w", ErrArch, shown), Fix: "valtctl's hosts are amd64"}
	case onAgent("Permission denied", "cannot execute"):
		return &problem.Error{Err: fmt.Errorf("%w: %w", ErrNoExec, shown), Fix: "mount the file system that holds /var/lib without noexec"}
	case onAgent("not found", "No such file or directory"):
		return fmt.Errorf("%w: %w", errMissing, shown)
	case lineWith(stderr, "sudo", "not found", "No such file or directory"):
		return &problem.Error{Err: fmt.Errorf("%w: there is none: %w", ErrSudo, shown), Fix: "install sudo, or log in as root"}
	}
	return shown
}

// lineWith says whether one line of text holds both subject and one of words.
func lineWith(text, subject string, words ...string) bool {
	for line := range strings.Lines(text) {
		if !strings.Contains(line, subject) {
			continue
		}
		for _, w := range words {
			if strings.Contains(line, w) {
				return true
			}
		}
	}
	return false
}

// exitError is a program's end with a code other than 0.
type exitError struct {
	code   int
	stderr string
}

func (e *exitError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("exit code %d: %s", e.code, lastLines(e.stderr, 5)))
}

func wrongPassword() error {
	return &problem.Error{Err: fmt.Errorf("%w: wrong password", ErrSudo),
		Fix: "correct the password in ssh.sudo_password_file, or what you typed"}
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
