package remote

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"ipivs.com/valtctl/repos/problem"
)

// noiseLimit is how much a login shell may print before the agent's first line.
const noiseLimit = 64 << 10

// StartAgent starts the agent as root and uploads it first if the host lacks it, or has a
// damaged one. The process it returns is past its ready line: everything read from it is protocol.
func (c *Conn) StartAgent(ctx context.Context, a Agent) (*Process, error) {
	if c.opts.Restricted {
		p, err := c.restricted(ctx)
		if err != nil {
			err = c.explain("starting the restricted agent on", err)
		}
		return p, err
	}
	p, err := c.launch(ctx, AgentPath(a.Hash))
	var ended *exitError
	if errors.Is(err, errMissing) || errors.As(err, &ended) { // what ends without a word may be damaged, which bringing it finds out
		p, err = c.bring(ctx, a)
	}
	if err != nil {
		return nil, c.explain("starting the agent on", err)
	}
	return p, nil
}

// bring starts an agent that the host lacks.
func (c *Conn) bring(ctx context.Context, a Agent) (*Process, error) {
	if a.LeavesNothing {
		return c.once(ctx, a)
	}
	if err := c.install(ctx, a); err != nil {
		return nil, err
	}
	return c.launch(ctx, AgentPath(a.Hash))
}

// launch starts the agent that is at path on the host.
func (c *Conn) launch(ctx context.Context, path string) (*Process, error) {
	nonce := newNonce()
	p, _, err := c.asRoot(ctx, task{argv: []string{path, "agent", nonce}, nonce: nonce, ready: Ready(nonce), path: path})
	return p, err
}

// restricted starts what the login's key starts anyway. Nothing is uploaded: the agent is the
// one that a person has left there.
func (c *Conn) restricted(ctx context.Context) (*Process, error) {
	bare := *c
	bare.sudo = nil
	p, _, err := bare.asRoot(ctx, task{argv: []string{RestrictedCommand}, nonce: RestrictedNonce, ready: Ready(RestrictedNonce), plain: true})
	return p, err
}

// explain puts what was being done around err and keeps its kind and fix.
func (c *Conn) explain(doing string, err error) error {
	e := &problem.Error{Doing: doing, Object: c.opts.Name, Err: err, Kind: problem.KindOf(err)}
	if inner := (*problem.Error)(nil); errors.As(err, &inner) {
		e.Fix = inner.Fix
	}
	return e
}

// task is a program to be started as root that announces itself on standard output.
type task struct {
	argv  []string
	nonce string // unguessable; in ready and in sudo's question
	ready string // the announcement, up to what it says about itself
	path  string // the agent's or how it begins, to recognise that it is missing
	plain bool   // argv is the whole command
}

// Process is a program that runs as root on the host and has announced itself.
type Process struct {
	command *command
	out     *bufio.Reader
	errs    *stderrWatch
}

// Read reads standard output. At its end the error holds what the program last wrote
// to standard error and still is io.EOF.
func (p *Process) Read(b []byte) (int, error) {
	n, err := p.out.Read(b)
	if errors.Is(err, io.EOF) {
		if text := strings.TrimSpace(p.errs.text()); text != "" {
			err = fmt.Errorf("%w: %s", io.EOF, lastLines(text, 5))
		}
	}
	return n, err
}

// Write writes to standard input.
func (p *Process) Write(b []byte) (int, error) { return p.command.stdin.Write(b) }

// Close closes standard input, on which an agent ends, and gives the session up.
func (p *Process) Close() error {
	err := p.command.stdin.Close()
	p.command.stop()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("closing the session: %w", err)
	}
	return nil
}

// asRoot starts t and waits for its announcement. rest is what stands behind t.ready
// on the same line.
func (c *Conn) asRoot(ctx context.Context, t task) (p *Process, rest string, err error) {
	argv := t.argv
	switch {
	case t.plain: // the far side compares it word by word
	case c.sudo != nil:
		argv = c.sudo.argv(t.nonce, argv)
	default:
		argv = append([]string{"env", "LC_ALL=C"}, argv...)
	}
	cmd, err := c.run.start(ctx, argv)
	if err != nil {
		return nil, "", err
	}
	timer := newPatience(c.opts.StartTimeout, cmd.stop)
	defer timer.end()
	defer context.AfterFunc(ctx, cmd.stop)()
	p = &Process{command: cmd, out: bufio.NewReaderSize(cmd.stdout, 64<<10)}
	p.errs = watchStderr(ctx, cmd.stderr, (&dialogue{sudo: c.sudo, nonce: t.nonce, cmd: cmd, timer: timer}).hear)
	rest, err = awaitLine(p.out, t.ready)
	if err == nil {
		p.errs.settle()
		return p, rest, nil
	}
	defer cmd.stop()
	return nil, "", c.whyNotStarted(ctx, t, p, timer, err)
}

func (c *Conn) whyNotStarted(ctx context.Context, t task, p *Process, timer *patience, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("waiting for it to answer: %w", context.Cause(ctx))
	case timer.expired():
		return fmt.Errorf("%w: nothing announced itself within %s; standard error: %q", ErrTimeout, c.opts.StartTimeout, lastLines(p.errs.text(), 3))
	case !errors.Is(err, io.EOF) && !errors.Is(err, errStopped):
		p.command.stop()
		return err
	}
	if failed := p.errs.wait(); failed != nil {
		return failed
	}
	code, werr := p.command.wait()
	if werr != nil {
		return fmt.Errorf("waiting for its end: %w", werr)
	}
	return explainFailure(t.path, p.errs.text(), code)
}

// awaitLine discards what r gives until ready, and returns the rest of that line.
func awaitLine(r *bufio.Reader, ready string) (string, error) {
	var seen []byte
	for len(seen) <= noiseLimit {
		part, err := r.ReadSlice('\n')
		seen = append(seen, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return "", err
		}
		if _, after, found := bytes.Cut(seen, []byte(ready)); found {
			return string(bytes.TrimSpace(after)), nil
		}
	}
	return "", &problem.Error{Err: fmt.Errorf("%w: more than %d KiB, and no agent answered", ErrNoise, noiseLimit>>10),
		Fix: "make the login's rc file print nothing where standard input is no terminal"}
}

func newNonce() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// stderrWatch keeps the end of a program's standard error and passes it on whenever
// more of it came, until settled.
type stderrWatch struct {
	mu      sync.Mutex
	kept    []byte
	failed  error
	settled bool
	done    chan struct{}
}

func watchStderr(ctx context.Context, r io.Reader, hear func(ctx context.Context, text string) error) *stderrWatch {
	w := &stderrWatch{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			if n > 0 && w.keep(buf[:n]) {
				w.fail(hear(ctx, w.text()))
			}
			if err != nil {
				return
			}
		}
	}()
	return w
}

// keep adds to what is kept and says whether anybody wants to hear of it.
func (w *stderrWatch) keep(b []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, b...)
	if over := len(w.kept) - noiseLimit; over > 0 {
		w.kept = w.kept[over:]
	}
	return !w.settled && w.failed == nil
}

func (w *stderrWatch) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = err
}

// settle ends the watching for questions: the program runs.
func (w *stderrWatch) settle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled, w.kept = true, nil
}

func (w *stderrWatch) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.kept)
}

// wait waits for the end of standard error and returns why the program was stopped.
func (w *stderrWatch) wait() error {
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}
