package cases

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// moment is when a scenario strikes: a while after a step was reached. Steps rather than
// seconds, so that a seed means much the same on a fast machine and on a slow one.
type moment struct {
	host  string
	index int           // of the step, from 1; 0: as soon as the transaction runs
	after time.Duration // since that step was told
}

func (m moment) String() string {
	if m.index == 0 {
		return fmt.Sprintf("%s after %s began", m.after, m.host)
	}
	return fmt.Sprintf("%s after step %d of %s", m.after, m.index, m.host)
}

// pick draws a moment in the steps from to to of one of the hosts.
func (e *Env) pick(hosts []string, from, to int) moment {
	return moment{
		host: hosts[e.Random.IntN(len(hosts))], index: from + e.Random.IntN(to-from+1),
		after: time.Duration(e.Random.IntN(1500)) * time.Millisecond,
	}
}

// told is one line of --events, as far as moments go by it.
type told struct {
	Event struct {
		Kind  string `json:"kind"`
		Host  string `json:"host"`
		Index int    `json:"index"`
	} `json:"event"`
}

// reached says whether a line of events tells that the moment's step has been reached.
func (m moment) reached(line []byte) bool {
	var t told
	if json.Unmarshal(line, &t) != nil || t.Event.Host != m.host {
		return false
	}
	if m.index == 0 {
		return t.Event.Kind == "start"
	}
	return t.Event.Index >= m.index || t.Event.Kind == "done"
}

// earlier is a moment that comes sooner, for a product that had ended by m; false: there is none.
func (m moment) earlier() (moment, bool) {
	if m.index == 0 && m.after == 0 {
		return m, false
	}
	return moment{m.host, m.index / 2, m.after / 2}, true
}

// errTooLate says that the product had ended by itself before the moment's while was over.
var errTooLate = errors.New("it ended before the moment had passed")

// strike starts the product and returns while it is under way, at the moment. Where it has
// ended by then, as it may where hosts are quicker than the one who watches them, all is
// prepared again, and the moment comes sooner.
func (e *Env) strike(ctx context.Context, m moment, prepare func() error, args ...string) (*underWay, moment, error) {
	for {
		if err := prepare(); err != nil {
			return nil, m, err
		}
		u, err := e.launch(ctx, m, args...)
		if err != nil {
			return nil, m, err
		}
		if err = u.await(ctx, m); !errors.Is(err, errTooLate) {
			return u, m, err
		}
		sooner, ok := m.earlier()
		if !ok {
			return nil, m, err
		}
		e.Measure("too late", "%s; once more, %s", m, sooner)
		m = sooner
	}
}

// underWay is the product while it runs.
type underWay struct {
	command *exec.Cmd
	stderr  *bytes.Buffer
	struck  chan struct{} // closed when the moment has come
	ended   chan error
}

// launch starts the product with --events and watches for the moment.
func (e *Env) launch(ctx context.Context, m moment, args ...string) (*underWay, error) {
	command := e.Command(ctx, append(args, "--events")...)
	u := &underWay{command: command, stderr: &bytes.Buffer{}, struck: make(chan struct{}), ended: make(chan error, 1)}
	command.Stderr = u.stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", e.Valtctl, err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", e.Valtctl, err)
	}
	go func() {
		lines, come := bufio.NewReader(stdout), false
		for {
			line, err := lines.ReadBytes('\n')
			if !come && m.reached(line) {
				come = true
				close(u.struck)
			}
			if err != nil {
				break
			}
		}
		u.ended <- command.Wait()
	}()
	return u, nil
}

// await returns when the moment has come and its while has passed.
func (u *underWay) await(ctx context.Context, m moment) error {
	select {
	case <-u.struck:
	case err := <-u.ended:
		select {
		case <-u.struck: // both have come, and select takes any
			return u.tooLate(m, err)
		default:
		}
		// An end that the events told is the moment too, so this one went otherwise.
		return fmt.Errorf("it ended before the moment (%s) came: %w: %s", m, errors.Join(err), u.stderr)
	case <-ctx.Done():
		return fmt.Errorf("waiting for the moment: %w", ctx.Err())
	}
	select {
	case <-time.After(m.after):
		return nil
	case err := <-u.ended:
		return u.tooLate(m, err)
	case <-ctx.Done():
		return fmt.Errorf("waiting for the moment: %w", ctx.Err())
	}
}

func (u *underWay) tooLate(m moment, ended error) error {
	u.ended <- ended // for end
	return fmt.Errorf("%w (%s): %s", errTooLate, m, u.stderr)
}

// end waits for the product to end by itself and returns its exit code.
func (u *underWay) end(ctx context.Context) (int, error) {
	select {
	case err := <-u.ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return -1, fmt.Errorf("running the product: %w", err)
		}
		return u.command.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return -1, fmt.Errorf("waiting for the product to end: %w", ctx.Err())
	}
}

// kill ends the product by SIGKILL, so that it can say nothing to anybody.
func (u *underWay) kill(ctx context.Context) error {
	if err := u.command.Process.Kill(); err != nil {
		return fmt.Errorf("killing the controller: %w", err)
	}
	_, err := u.end(ctx)
	return err
}
