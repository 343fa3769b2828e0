package cases

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// labReboot reboots a host that the seed chooses, as often as is asked for.
func labReboot(ctx context.Context, e *Env) error {
	hosts, err := e.Lab.Hosts()
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		return fmt.Errorf("the lab has no hosts")
	}
	for n := range e.Count {
		host := hosts[e.Random.IntN(len(hosts))]
		what := fmt.Sprintf("reboot %d of %s", n+1, host.Name)
		if err := e.Timed(what, func() error { return rebootOnce(ctx, e, host.Name, host.Address.String()) }); err != nil {
			return err
		}
	}
	return nil
}

func rebootOnce(ctx context.Context, e *Env, host, address string) error {
	const mark = "/var/lib/lab-reboot"
	token := fmt.Sprint(e.Random.Uint64())
	if err := e.Lab.Put(ctx, host, mark, []byte(token)); err != nil {
		return err
	}
	if err := e.Reboot(ctx, host); err != nil {
		return err
	}
	kept, err := e.Lab.Output(ctx, host, "cat", mark)
	if err != nil {
		return fmt.Errorf("reading the file from before the reboot: %w", err)
	}
	if kept != token {
		return fmt.Errorf("the disk lost its file: %q instead of %q", kept, token)
	}
	after, err := e.Lab.Output(ctx, host, "hostname", "--all-ip-addresses")
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(after), address) { // beside Docker's own bridges
		return fmt.Errorf("its address was %s, and now it has %q", address, after)
	}
	return nil
}

// Reboot reboots a host from inside and returns when it is back and takes logins.
func (e *Env) Reboot(ctx context.Context, host string) error {
	before, err := e.Lab.Boot(ctx, host)
	if err != nil {
		return err
	}
	// The command dies with the host, so its result says nothing.
	_, _ = e.Lab.Output(ctx, host, "systemctl", "reboot")
	ctx, cancel := context.WithTimeout(ctx, hostWithin)
	defer cancel()
	for {
		if after, err := e.Lab.Boot(ctx, host); err == nil && after != before {
			return e.Lab.Await(ctx, host)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to boot again: %w", host, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func readFile(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return content, nil
}
