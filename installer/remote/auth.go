package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	sshagent "golang.org/x/crypto/ssh/agent"

	"ipivs.com/valtctl/repos/problem"
)

// login is one attempt to log in at one hop. It remembers what it tried, for the error.
type login struct {
	hop   hop
	opts  Options
	timer *patience
	tried []string
}

// methods are the ways to log in, in the order of ssh(1). What nobody can answer is
// not offered.
func (l *login) methods(ctx context.Context) ([]ssh.AuthMethod, error) {
	signers, err := l.signers(ctx)
	if err != nil {
		return nil, err
	}
	var all []ssh.AuthMethod
	if len(signers) > 0 {
		all = append(all, ssh.PublicKeys(signers...))
	}
	if l.opts.Password != nil || l.opts.Prompt != nil {
		all = append(all,
			ssh.KeyboardInteractive(func(_, instruction string, questions []string, echos []bool) ([]string, error) {
				return l.interact(ctx, instruction, questions, echos)
			}),
			ssh.PasswordCallback(func() (string, error) { return l.password(ctx) }))
	}
	return all, nil
}

// signers are the keys to try. The ssh-agent is asked only where nobody named a key.
func (l *login) signers(ctx context.Context) ([]ssh.Signer, error) {
	var all []ssh.Signer
	if !l.hop.explicit {
		all = l.agentKeys(nil)
	}
	for _, path := range l.hop.identities {
		signer, err := l.keyFile(ctx, path)
		if err != nil && l.hop.explicit {
			return nil, err
		}
		if err == nil {
			all = append(all, signer)
			l.tried = append(l.tried, fmt.Sprintf("publickey (%s, %s)", path, ssh.FingerprintSHA256(signer.PublicKey())))
		}
	}
	return all, nil
}

// keyFile reads a private key. One with a passphrase is taken from the ssh-agent if it
// is there, else the person is asked.
func (l *login) keyFile(ctx context.Context, path string) (ssh.Signer, error) {
	bad := func(err error, fix string) error {
		return &problem.Error{Kind: problem.Input, Doing: "reading the private key", Object: path, Err: err, Fix: fix}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, bad(err, "Correct ssh.identity in the site file.")
	}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if err == nil {
		return signer, nil
	}
	if !errors.As(err, &locked) {
		return nil, bad(err, "Name a private key in OpenSSH's or PEM format.")
	}
	if locked.PublicKey != nil {
		if held := l.agentKeys(locked.PublicKey); len(held) > 0 {
			return held[0], nil
		}
	}
	if l.opts.Prompt == nil || !l.hop.explicit {
		return nil, bad(errors.New("it is protected by a passphrase"), "Load it into an ssh-agent (ssh-add "+path+"), run valtctl at a terminal, or name a key without a passphrase.")
	}
	answer, err := l.ask(ctx, "Passphrase for "+path+": ", false)
	if err != nil {
		return nil, bad(err, "")
	}
	if signer, err = ssh.ParsePrivateKeyWithPassphrase(text, []byte(answer)); err != nil {
		return nil, bad(err, "Type the key's passphrase.")
	}
	return signer, nil
}

// agentKeys are the keys of the ssh-agent, or the one with the public key only. Without
// a reachable agent there are none: ssh(1) passes over it in silence too.
func (l *login) agentKeys(only ssh.PublicKey) []ssh.Signer {
	if l.opts.Env.AgentSocket == "" {
		return nil
	}
	conn, err := net.Dial("unix", l.opts.Env.AgentSocket)
	if err != nil {
		l.tried = append(l.tried, "ssh-agent (not reachable)")
		return nil
	}
	signers, err := sshagent.NewClient(conn).Signers()
	if err != nil {
		conn.Close()
		return nil
	}
	var all []ssh.Signer
	for _, s := range signers {
		if only == nil || bytes.Equal(s.PublicKey().Marshal(), only.Marshal()) {
			all = append(all, s)
			l.tried = append(l.tried, "publickey (ssh-agent, "+ssh.FingerprintSHA256(s.PublicKey())+")")
		}
	}
	return all
}

// ask asks the person, with the clock stopped.
func (l *login) ask(ctx context.Context, question string, echo bool) (string, error) {
	if l.timer != nil {
		l.timer.pause()
		defer l.timer.resume()
	}
	return l.opts.Prompt(ctx, question, echo)
}

// interact answers keyboard-interactive questions (RFC 4256): the login's password
// where one hidden question asks for it, the person otherwise.
func (l *login) interact(ctx context.Context, instruction string, questions []string, echos []bool) ([]string, error) {
	l.note("keyboard-interactive")
	answers := make([]string, len(questions))
	for i, q := range questions {
		var err error
		switch hidden := !echos[i] && strings.Contains(strings.ToLower(q), "password"); {
		case hidden && l.opts.Password != nil:
			answers[i], err = l.password(ctx)
		case l.opts.Prompt != nil:
			answers[i], err = l.ask(ctx, strings.TrimSpace(instruction+"\n"+l.hop.String()+": "+q), echos[i])
		default:
			err = fmt.Errorf("the server asks %q and there is nobody to answer", q)
		}
		if err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func (l *login) password(ctx context.Context) (string, error) {
	l.note("password")
	if l.opts.Password != nil {
		secret, err := l.opts.Password(ctx)
		return string(secret), err
	}
	return l.ask(ctx, "Password of "+l.hop.String()+": ", false)
}

func (l *login) note(method string) {
	for _, t := range l.tried {
		if t == method {
			return
		}
	}
	l.tried = append(l.tried, method)
}

// refused is the error of a login that the server did not accept.
func (l *login) refused(err error) error {
	tried := strings.Join(l.tried, ", ")
	fix := "Put the public key into the login's authorized_keys on the host, or name another user or key in the site file (ssh.user, ssh.identity)."
	if tried == "" {
		tried = "nothing: there is no key, and nobody to type a password"
		fix = "Name a private key in ssh.identity, or run valtctl at a terminal."
	}
	return l.hop.problem(fmt.Errorf("%w; tried: %s: %w", ErrLogin, tried, err), fix)
}
