package cases

import (
	"context"
	"fmt"
	"os"
	"time"

	"ipivs.com/valtctl/repos/sleep"
)

// Numbers of steps that every host's transaction has at least, by half: moments are drawn
// within them.
const (
	leastSteps = 20
	fetchSteps = 12
)

// controllerKilled kills the controller while hosts work, and lets another one finish.
func controllerKilled(ctx context.Context, e *Env) error {
	if _, err := e.baseline(ctx); err != nil {
		return err
	}
	for n := range e.Count {
		if err := controllerKilledOnce(ctx, e, n); err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
	}
	return nil
}

// shortLease is of controllers that are killed, so that it is soon over. A busy machine must
// be able to renew it.
const shortLease = "20s"

func controllerKilledOnce(ctx context.Context, e *Env, n int) error {
	hosts, err := e.disturbed()
	if err != nil {
		return err
	}
	m := e.pick(hosts, 0, leastSteps)
	alone := e.Random.IntN(2) == 0 // whether the hosts are left to finish by themselves
	u, m, err := e.strike(ctx, m, func() error { return e.Lab.Reset(ctx, hosts...) }, append([]string{"install", "--yes", "--lease", shortLease}, on(hosts)...)...)
	if err != nil {
		return err
	}
	if err := u.kill(ctx); err != nil {
		return err
	}
	e.Measure(fmt.Sprintf("round %d", n+1), "killed %s, hosts left alone: %t", m, alone)
	if alone {
		if err := e.Timed(m.host+" finished without a controller", func() error { return e.finishes(ctx, m.host) }); err != nil {
			return err
		}
	}
	other, err := e.elsewhere()
	if err != nil {
		return err
	}
	defer os.RemoveAll(other.State)
	if err := e.Timed("resume", func() error {
		_, err := other.Expect(ctx, 0, append([]string{"resume", "--yes"}, on(hosts)...)...)
		return err
	}); err != nil {
		return err
	}
	for _, host := range hosts {
		if err := e.oneTransaction(ctx, host); err != nil {
			return err
		}
	}
	return e.asUndisturbed(ctx, hosts)
}

// elsewhere is another controller: the same site file, a state folder of its own.
func (e *Env) elsewhere() (*Env, error) {
	dir, err := os.MkdirTemp(e.Lab.Path(), "elsewhere-")
	if err != nil {
		return nil, fmt.Errorf("making another controller: %w", err)
	}
	other := *e
	other.State = dir
	return &other, nil
}

// finishes waits until the host's newest transaction has ended, watching its journal alone.
func (e *Env) finishes(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, hostWithin)
	defer cancel()
	for {
		out, err := outputIfThere(ctx, e.Lab, host, "find", "/var/lib/valtctl/txn", "-name", "journal.jsonl",
			"-exec", "grep", "-q", `"kind":"end"`, "{}", ";", "-print")
		if err == nil && out != "" {
			return nil
		}
		if err := sleep.For(ctx, 500*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the transaction on %s to end: %w", host, err)
		}
	}
}

// hostWithin is how long a host may take for its whole transaction, on a busy machine.
const hostWithin = 8 * time.Minute
