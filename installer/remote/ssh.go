package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// DialFunc opens a network connection, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// clientVersion is how valtctl shows itself in servers' logs.
const clientVersion = "SSH-2.0-valtctl"

func dialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// Dial connects to the host that o names and logs in. The errors tell apart what is in
// the way (the Err variables of this package); a host key that is not known ends it
// with a problem of kind Trust.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	o = o.withDefaults()
	hops, err := route(o)
	if err != nil {
		return nil, err
	}
	keys, err := readHostKeys(o.KnownHosts)
	if err != nil {
		return nil, err
	}
	chain := &sshRunner{dial: o.Dial, done: make(chan struct{})}
	for _, h := range hops {
		client, err := chain.login(ctx, h, o, keys)
		if err != nil {
			chain.Close()
			return nil, err
		}
		chain.append(client)
	}
	go chain.keepAlive(o.KeepAlive)
	c := &Conn{run: chain, opts: o}
	if last := hops[len(hops)-1]; last.user != "root" {
		c.sudo = &sudo{login: last.String(), password: o.Password, prompt: o.Prompt}
	}
	return c, nil
}

// sshRunner runs programs over the last client of a chain of SSH connections.
type sshRunner struct {
	clients  []*ssh.Client
	dial     DialFunc // to the next hop
	sessions int
	done     chan struct{}
}

func (r *sshRunner) last() *ssh.Client { return r.clients[len(r.clients)-1] }

func (r *sshRunner) append(c *ssh.Client) {
	r.clients = append(r.clients, c)
	r.dial = c.DialContext
}

// Close ends the chain from its far end.
func (r *sshRunner) Close() error {
	select {
	case <-r.done:
		return nil
	default:
		close(r.done)
	}
	var errs []error
	for i := len(r.clients) - 1; i >= 0; i-- {
		if err := r.clients[i].Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// login opens the next hop, and asks a server again that does not listen just now.
func (r *sshRunner) login(ctx context.Context, h hop, o Options, keys hostKeys) (client *ssh.Client, err error) {
	err = askPatiently(ctx, h, o, func() (err error) {
		client, err = r.loginOnce(ctx, h, o, keys)
		return err
	})
	return client, err
}

// askPatiently asks a server until it listens, and says what it is that takes so long.
func askPatiently(ctx context.Context, h hop, o Options, ask func() error) error {
	for try := 0; ; try++ {
		err := ask()
		pause, again := askAgain(err, try)
		if !again {
			return err
		}
		if errors.Is(err, errPunished) && o.Waiting != nil {
			o.Waiting(fmt.Sprintf("%s: %v; it is asked again in %s", h, errPunished, pause))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(h.problem(context.Cause(ctx), ""), err)
		}
	}
}

// askAgain says whether, and after which pause, a server is asked once more. One that hangs up before
// it says anything: sshd drops connections at random while many log in (MaxStartups), which a jump
// host for a whole site meets. One that punishes this address: a penalty lasts 15 s at least
// (PerSourcePenalties of sshd_config(5), OpenSSH 9.8 and later), and a minute is waited for its end.
func askAgain(err error, try int) (pause time.Duration, again bool) {
	switch {
	case errors.Is(err, errHungUp) && try < 3:
		return 250 * time.Millisecond << try, true
	case errors.Is(err, errPunished) && try < 4:
		return 15 * time.Second, true
	}
	return 0, false
}

// What servers do instead of letting anybody log in.
var (
	errHungUp   = errors.New("the server closed the connection before the login")
	errPunished = errors.New("the server takes no connections from this address for a while (PerSourcePenalties)")
)

// punished is what OpenSSH says, in place of its version, to an address with a penalty.
const punished = "Not allowed at this time"

// explainPenalty is the problem of a server that answered that.
func explainPenalty(h hop, err error) error {
	return h.problem(fmt.Errorf("%w: %w", errPunished, err), "wait some minutes, and see in the server's log what of this address it counted against it; "+
		"sshd's PerSourcePenaltyExemptList lets an address off")
}

func (r *sshRunner) loginOnce(ctx context.Context, h hop, o Options, keys hostKeys) (*ssh.Client, error) {
	l := &login{hop: h, opts: o, keys: keys}
	defer l.end()
	conn, err := r.open(ctx, h, o.ConnectTimeout)
	if err != nil {
		return nil, err
	}
	counted := &greetedConn{Conn: conn}
	l.timer = newPatience(o.LoginTimeout, func() { conn.Close() })
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	config, err := l.config(ctx)
	if err != nil {
		conn.Close()
		return nil, err
	}
	sc, chans, reqs, err := ssh.NewClientConn(counted, h.addr(), config)
	if err == nil {
		return ssh.NewClient(sc, chans, reqs), nil
	}
	conn.Close()
	return nil, l.explain(ctx, err, counted)
}

// open opens the TCP connection to a hop, through the hops before it.
func (r *sshRunner) open(ctx context.Context, h hop, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := r.dial(ctx, "tcp", h.addr())
	if err != nil {
		return nil, explainDial(h, err)
	}
	return conn, nil
}

// greetedConn keeps what the server says first, to tell one that hung up from one that spoke.
type greetedConn struct {
	net.Conn
	mu    sync.Mutex // the reader goes on while a failed login is explained
	first []byte
}

// greeting caps what is kept, in bytes: a version is 255 at most (RFC 4253, section 4.2).
const greeting = 255

func (c *greetedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.first = append(c.first, b[:min(n, greeting-len(c.first))]...)
	return n, err
}

// said is how the server's side of the connection begins; empty: it said nothing.
func (c *greetedConn) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.first)
}

// keepAlive asks an idle server whether it is there, as ServerAliveInterval of
// ssh_config(5). Six silent intervals (by default 90 s, so that a minute's cut is
// survived) end the connection.
func (r *sshRunner) keepAlive(every time.Duration) {
	const patienceIntervals = 6
	tick := time.NewTicker(every)
	defer tick.Stop()
	answered := make(chan error, 1)
	waiting := 0
	for {
		select {
		case <-r.done:
			return
		case err := <-answered:
			if err != nil {
				return
			}
			waiting = 0
		case <-tick.C:
			if waiting++; waiting == 1 {
				go func() {
					_, _, err := r.last().SendRequest("keepalive@openssh.com", true, nil)
					answered <- err
				}()
			}
			if waiting > patienceIntervals {
				r.clients[0].Close()
				return
			}
		}
	}
}

// start runs argv in a session of its own, as the login's shell is given it. A session
// that the server closes unanswered is tried again: dropbear, when the program of the
// session before ends late, now and then closes the next one with it.
func (r *sshRunner) start(ctx context.Context, argv []string) (*command, error) {
	line, err := quote(argv)
	if err != nil {
		return nil, err
	}
	const attempts = 3
	for try := 1; ; try++ {
		cmd, err := r.startOnce(ctx, line)
		if err == nil || !errors.Is(err, io.EOF) || try == attempts {
			return cmd, err
		}
	}
}

func (r *sshRunner) startOnce(ctx context.Context, line string) (*command, error) {
	session, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	stdin, err := session.StdinPipe()
	if err != nil {
		session.Close()
		return nil, fmt.Errorf("opening standard input: %w", err)
	}
	outR, outW := io.Pipe()
	errR, errW := io.Pipe()
	session.Stdout, session.Stderr = outW, errW
	if err := session.Start(line); err != nil {
		session.Close()
		return nil, fmt.Errorf("starting a program: %w", err)
	}
	end := watchEnd(session.Wait, outW, errW)
	return &command{
		stdin: stdin, stdout: outR, stderr: errR,
		wait: func() (int, error) { return exitCode(end()) },
		stop: func() {
			outW.CloseWithError(errStopped)
			errW.CloseWithError(errStopped)
			session.Close()
		},
	}, nil
}

// watchEnd waits for a program in the background and ends its pipes with it. The
// function it returns waits for that and gives what wait gave.
func watchEnd(wait func() error, pipes ...*io.PipeWriter) func() error {
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = wait()
		for _, p := range pipes {
			p.Close()
		}
	}()
	return func() error {
		<-done
		return err
	}
}

func exitCode(err error) (int, error) {
	var exited interface{ ExitStatus() int }
	var local interface{ ExitCode() int }
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exited):
		return exited.ExitStatus(), nil
	case errors.As(err, &local):
		return local.ExitCode(), nil
	}
	return -1, err
}

// session opens a session. A server with MaxSessions 1 may not have noticed yet that
// the one before has ended, and is asked again for up to two seconds.
func (r *sshRunner) session(ctx context.Context) (*ssh.Session, error) {
	const attempts, pause = 40, 50 * time.Millisecond
	for try := 1; ; try++ {
		s, err := r.last().NewSession()
		if err == nil {
			r.sessions++
			return s, nil
		}
		var rejected *ssh.OpenChannelError
		if !errors.As(err, &rejected) || r.sessions == 0 || try == attempts {
			return nil, fmt.Errorf("opening a session: %w", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("opening a session: %w", context.Cause(ctx))
		}
	}
}
