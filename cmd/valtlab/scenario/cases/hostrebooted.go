package cases

import (
	"context"
	"fmt"
)

// hostRebooted reboots a host while its transaction runs. In the fetch half the secrets are
// gone and a person must give them again; in the apply half the host finishes by itself.
func hostRebooted(ctx context.Context, e *Env) error {
	if _, err := e.baseline(ctx); err != nil {
		return err
	}
	first := e.Random.IntN(2)
	for n := range e.Count {
		if err := hostRebootedOnce(ctx, e, (first+n)%2 == 0); err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
	}
	return nil
}

func hostRebootedOnce(ctx context.Context, e *Env, fetch bool) error {
	hosts, err := e.disturbed()
	if err != nil {
		return err
	}
	m := e.pick(hosts, 0, fetchSteps)
	if !fetch {
		m = e.pick(hosts, fetchSteps+6, leastSteps+4)
	}
	u, m, err := e.strike(ctx, m, func() error { return e.Lab.Reset(ctx, hosts...) }, append([]string{"install", "--yes"}, on(hosts)...)...)
	if err != nil {
		return err
	}
	half, err := e.half(ctx, m.host)
	if err != nil {
		return err
	}
	if err := e.Timed(fmt.Sprintf("reboot %s, in %s", m, half), func() error { return e.Reboot(ctx, m.host) }); err != nil {
		return err
	}
	if err := e.goesOnAfterReboot(ctx, u, m.host, half); err != nil {
		return err
	}
	if err := e.Timed("resume", func() error {
		_, err := e.Expect(ctx, 0, append([]string{"resume", "--yes"}, on(hosts)...)...)
		return err
	}); err != nil {
		return err
	}
	return e.asUndisturbed(ctx, hosts)
}

// goesOnAfterReboot waits for what must happen without a person: in apply the host finishes
// and needs no controller, so there is none; in fetch the controller ends by itself.
func (e *Env) goesOnAfterReboot(ctx context.Context, u *underWay, host, half string) error {
	if half == "apply" {
		if err := u.kill(ctx); err != nil {
			return err
		}
		return e.Timed("finished by itself after the boot", func() error { return e.finishes(ctx, host) })
	}
	code, err := u.end(ctx)
	if err != nil {
		return err
	}
	e.Measure("the controller's exit code", "%d", code)
	return nil
}

// half is where the host's transaction is: in fetch until its journal says that this is done.
func (e *Env) half(ctx context.Context, host string) (string, error) {
	out, err := outputIfThere(ctx, e.Lab, host, "find", "/var/lib/valtctl/txn", "-name", "journal.jsonl",
		"-exec", "grep", "-q", `"kind":"half"`, "{}", ";", "-print")
	if out != "" {
		return "apply", err
	}
	return "fetch", err
}
