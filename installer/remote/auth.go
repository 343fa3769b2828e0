package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
	sshagent "golang.org/x/crypto/ssh/agent"

	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/textfile"
)

// login is one attempt to log in at one hop. It remembers what it tried, for the error.
type login struct {
	hop   hop
	opts  Options
	keys  hostKeys
	timer *patience // stands still while the person types, or a key is unlocked

	tried     []string
	untrusted error    // what the host key was refused for
	agent     net.Conn // to the ssh-agent, while its keys may be needed
	rounds    int      // of the server's questions so far
}

// What a server may ask of whoever logs in: as often as sshd does at most (sshd_config(5),
// MaxAuthTries), and what a person can read.
const (
	maxRounds    = 6
	maxQuestions = 8       // at once
	maxQuestion  = 2 << 10 // bytes, also of what stands before the questions
)

// end gives up what only the login needed.
func (l *login) end() {
	if l.timer != nil {
		l.timer.end()
	}
	if l.agent != nil {
		l.agent.Close()
	}
}

// config is the SSH client's, strict about the host key.
func (l *login) config(ctx context.Context) (*ssh.ClientConfig, error) {
	methods, err := l.methods(ctx)
	if err != nil {
		return nil, err
	}
	check := l.keys.check(l.hop)
	return &ssh.ClientConfig{
		User: l.hop.user, Auth: methods, HostKeyAlgorithms: l.keys.algorithms(l.hop.addr()), ClientVersion: clientVersion,
		HostKeyCallback: func(addr string, remote net.Addr, key ssh.PublicKey) error {
			l.untrusted = check(addr, remote, key)
			return l.untrusted
		},
	}, nil
}

// explain says why the handshake failed with a server.
func (l *login) explain(ctx context.Context, err error, server *greetedConn) error {
	var kinds *ssh.AlgorithmNegotiationError
	switch {
	case l.untrusted != nil:
		return l.untrusted
	case ctx.Err() != nil:
		return l.hop.problem(context.Cause(ctx), "")
	case errors.As(err, &kinds) && kinds.What == "host key" && len(l.keys.algorithms(l.hop.addr())) > 0:
		return explainKeyKind(l.hop, kinds)
	case l.timer.expired():
		return l.hop.problem(fmt.Errorf("%w: it took the connection and did not log in within %s: %w", ErrTimeout, l.opts.LoginTimeout, err),
			"something that is not sshd may answer there, or the server is overloaded")
	case strings.Contains(err.Error(), "unable to authenticate"):
		return l.refused(err)
	case strings.HasPrefix(server.said(), punished):
		return explainPenalty(l.hop, err)
	case server.said() == "" && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)):
		return l.hop.problem(fmt.Errorf("%w: %w", errHungUp, err), "look at the server's log: MaxStartups or a ban list may be at work")
	}
	return l.hop.problem(err, "")
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

// maxKeyFile caps a file with a private key, in bytes.
const maxKeyFile = 1 << 20

// keyFile reads a private key. One with a passphrase is taken from the ssh-agent if it
// is there, else the person is asked.
func (l *login) keyFile(ctx context.Context, path string) (ssh.Signer, error) {
	bad := func(err error, fix string) error {
		return &problem.Error{Kind: problem.Input, Doing: "reading the private key", Object: path, Err: err, Fix: fix}
	}
	text, err := textfile.Read(path, maxKeyFile)
	if err != nil {
		return nil, bad(err, "correct ssh.identity in the site file")
	}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if err == nil {
		return signer, nil
	}
	if !errors.As(err, &locked) {
		return nil, bad(err, "name a private key in OpenSSH's or PEM format")
	}
	if locked.PublicKey != nil {
		if held := l.agentKeys(locked.PublicKey); len(held) > 0 {
			return held[0], nil
		}
	}
	if l.opts.Prompt == nil || !l.hop.explicit {
		return nil, bad(errors.New("it is protected by a passphrase"), "load it into an ssh-agent (ssh-add "+path+"), run valtctl at a terminal, or name a key without a passphrase")
	}
	// Unlocking is slow on purpose (bcrypt_pbkdf), and it is not the server that takes so long.
	l.timer.pause()
	defer l.timer.resume()
	answer, err := l.opts.Prompt(ctx, "Passphrase for "+path+": ", false)
	if err != nil {
		return nil, bad(err, "")
	}
	if signer, err = ssh.ParsePrivateKeyWithPassphrase(text, []byte(answer)); err != nil {
		return nil, bad(err, "type the key's passphrase")
	}
	return signer, nil
}

// agentKeys are the keys of the ssh-agent, or the one with the public key only. Without
// a reachable agent there are none: ssh(1) passes over it in silence too.
func (l *login) agentKeys(only ssh.PublicKey) []ssh.Signer {
	if l.opts.Env.AgentSocket == "" {
		return nil
	}
	if l.agent == nil {
		conn, err := net.Dial("unix", l.opts.Env.AgentSocket)
		if err != nil {
			l.note("ssh-agent (not reachable)")
			return nil
		}
		l.agent = conn
	}
	signers, err := sshagent.NewClient(l.agent).Signers()
	if err != nil {
		l.note("ssh-agent (gives no keys)")
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
	l.timer.pause()
	defer l.timer.resume()
	return l.opts.Prompt(ctx, question, echo)
}

// interact answers keyboard-interactive questions (RFC 4256): the login's password
// where one hidden question asks for it, the person otherwise.
func (l *login) interact(ctx context.Context, instruction string, questions []string, echos []bool) ([]string, error) {
	l.note("keyboard-interactive")
	if l.rounds++; l.rounds > maxRounds {
		return nil, fmt.Errorf("the server asks questions for the %dth time; %d times are answered", l.rounds, maxRounds)
	}
	if len(questions) > maxQuestions {
		return nil, fmt.Errorf("the server asks %d questions at once; at most %d are answered", len(questions), maxQuestions)
	}
	for _, text := range slices.Concat(questions, []string{instruction}) {
		if len(text) > maxQuestion {
			return nil, fmt.Errorf("the server asks with %d bytes of text; at most %d are shown", len(text), maxQuestion)
		}
	}
	answers := make([]string, len(questions))
	for i, q := range questions {
		var err error
		switch hidden := !echos[i] && strings.Contains(strings.ToLower(q), "password"); {
		case hidden && l.opts.Password != nil:
			answers[i], err = l.password(ctx)
		case l.opts.Prompt != nil:
			answers[i], err = l.ask(ctx, l.asked(instruction, q), echos[i])
		default:
			err = fmt.Errorf("the server asks %q and there is nobody to answer", q)
		}
		if err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// asked is a server's question, on lines that say whose words they are.
func (l *login) asked(instruction, question string) string {
	text := l.hop.String() + ": " + plain.Line(question)
	if instruction = strings.TrimSpace(instruction); instruction != "" {
		text = l.hop.String() + ": " + plain.Line(instruction) + "\n" + text
	}
	return text
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
	if !slices.Contains(l.tried, method) {
		l.tried = append(l.tried, method)
	}
}

// refused is the error of a login that the server did not accept.
func (l *login) refused(err error) error {
	tried := strings.Join(l.tried, ", ")
	fix := "Put the public key into the login's authorized_keys on the host, or name another user or key in the site file (ssh.user, ssh.identity)."
	if tried == "" {
		tried = "nothing: there is no key, and nobody to type a password"
		fix = "name a private key in ssh.identity, or run valtctl at a terminal"
	}
	return l.hop.problem(fmt.Errorf("%w; tried: %s: %w", ErrLogin, tried, err), fix)
}
