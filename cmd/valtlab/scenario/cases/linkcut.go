package cases

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/repos/sleep"
)

// How long the link is cut: a minute, and less in a sample.
const (
	cutFor       = time.Minute
	cutForSample = 20 * time.Second
)

// linkCut cuts a host's whole network while apt works.
func linkCut(ctx context.Context, e *Env) error {
	if _, err := e.baseline(ctx); err != nil {
		return err
	}
	for n := range e.Count {
		if err := linkCutOnce(ctx, e, n); err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
	}
	return nil
}

func linkCutOnce(ctx context.Context, e *Env, n int) error {
	hosts, err := e.disturbed()
	if err != nil {
		return err
	}
	m, d := e.pick(hosts, 0, 0), cutFor
	if e.Sample {
		d = cutForSample
	}
	u, err := e.installUntilApt(ctx, m.host, hosts)
	if err != nil {
		return err
	}
	if err := sleep.For(ctx, m.after); err != nil {
		return err
	}
	e.Measure(fmt.Sprintf("round %d", n+1), "%s cut for %s, %s after apt began to install", m.host, d, m.after)
	if err := fault.Hold(ctx, e.Lab, fault.Packets{Host: m.host, Verdict: fault.Drop}, d); err != nil {
		return err
	}
	code, err := u.end(ctx)
	if err != nil {
		return err
	}
	e.Measure("the controller's exit code", "%d", code)
	if err := e.Timed("resume", func() error {
		_, err := e.Expect(ctx, 0, append([]string{"resume", "--yes"}, on(hosts)...)...)
		return err
	}); err != nil {
		return err
	}
	return e.asUndisturbed(ctx, hosts)
}

// installUntilApt installs bare hosts and returns while apt works on one of them.
func (e *Env) installUntilApt(ctx context.Context, host string, hosts []string) (*underWay, error) {
	for n := 1; ; n++ {
		u, _, err := e.strike(ctx, moment{host: host}, func() error { return e.Lab.Reset(ctx, hosts...) }, append([]string{"install", "--yes"}, on(hosts)...)...)
		if err != nil {
			return nil, err
		}
		if err := e.aptRuns(ctx, u, host); !errors.Is(err, errTooLate) || n == slowTries {
			return u, err
		}
	}
}

// aptRuns returns when apt-get downloads or installs on the host. On a busy machine it may
// have done so between two looks.
func (e *Env) aptRuns(ctx context.Context, u *underWay, host string) error {
	ctx, cancel := context.WithTimeout(ctx, hostWithin)
	defer cancel()
	for {
		if _, err := e.Lab.Output(ctx, host, "pgrep", "--full", "^(/usr/bin/)?apt-get .*install"); err == nil {
			return nil
		}
		if err := u.await(ctx, moment{host: host, after: 200 * time.Millisecond}); err != nil {
			return fmt.Errorf("waiting for apt on %s: %w", host, err)
		}
	}
}
