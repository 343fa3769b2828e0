package cases

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// What the scenario of penalties uses.
const (
	punishingName = "punishing"
	punishingSite = "punishing.yaml"
	// burst is how many connections somebody else at this address opens within a second, without ever logging in.
	burst = 40
)

// penalties has a server of today, whose sshd has OpenSSH 10's defaults, punish this machine's address for
// what somebody else at it does. Who comes then waits for its end, knows why, and gets what they came for.
func penalties(ctx context.Context, e *Env) (err error) {
	defer func() {
		err = errors.Join(err, e.removeAny(context.WithoutCancel(ctx), punishingName), os.RemoveAll(e.Lab.Path(punishingSite)))
	}()
	host, err := e.Lab.AddHost(ctx, lab.Host{Name: punishingName, Ubuntu: "26.04", Suite: "trixie", Roles: []string{lab.RoleApp}})
	if err != nil {
		return err
	}
	entry, err := e.Lab.Fragment(host)
	if err != nil {
		return err
	}
	if err := writeOddSite(e, punishingSite, []string{entry}); err != nil {
		return err
	}
	version, err := e.Lab.Output(ctx, host.Name, "sh", "-c", "ssh -V 2>&1; sshd -T | grep -i persourcepenalties")
	if err != nil {
		return err
	}
	e.Measure("sshd", "%s", strings.Join(strings.Fields(version), " "))
	for _, c := range []struct {
		name string
		args []string
	}{
		{"facts", []string{"facts", "-o", "json"}},
		{"trust", []string{"trust", "--yes", host.Name}},
	} {
		if err := e.punished(ctx, host, c.name, append(c.args, "--site", punishingSite)...); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// punished earns a penalty and has a command wait it out.
func (e *Env) punished(ctx context.Context, host lab.Host, name string, args ...string) error {
	greeted, refused, err := e.knockOften(ctx, netip.AddrPortFrom(host.Address, 22))
	if err != nil {
		return err
	}
	e.Measure(name+", before", "of %d connections %d were greeted and %d punished", burst, greeted, refused)
	result, err := e.Expect(ctx, 0, args...)
	if err != nil {
		return err
	}
	said := result.Stdout + result.Stderr
	if err := says(said, "takes no connections from this address for a while (PerSourcePenalties)", "asked again in 15s"); err != nil {
		return err
	}
	for _, wrong := range []string{"does not speak", "handshake failed", "EOF", "ban list"} {
		if strings.Contains(said, wrong) {
			return fmt.Errorf("it says %q: %s", wrong, said)
		}
	}
	e.Measure(name, "waited and done within %.1f s", result.Took.Seconds())
	return nil
}

// knockOften opens connections at once that say nothing and go once they are greeted, until a server punishes it.
func (e *Env) knockOften(ctx context.Context, at netip.AddrPort) (greeted, refused int, err error) {
	const rounds = 5 // a busy machine may take longer than sshd remembers
	for range rounds {
		greeted, refused, err = knock(ctx, at)
		if err != nil || refused > 0 {
			return greeted, refused, err
		}
	}
	return greeted, refused, fmt.Errorf("%d times %d connections without a login are not punished", rounds, burst)
}

func knock(ctx context.Context, at netip.AddrPort) (greeted, refused int, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	var errs []error
	for range burst {
		all.Go(func() {
			line, err := greetingOf(ctx, at)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				errs = append(errs, err)
			case strings.HasPrefix(line, "SSH-2.0-"):
				greeted++
			case strings.HasPrefix(line, "Not allowed at this time"):
				refused++
			}
		})
		time.Sleep(time.Second / burst)
	}
	all.Wait()
	if len(errs) == burst {
		return 0, 0, fmt.Errorf("knocking at %s: %w", at, errs[0])
	}
	return greeted, refused, nil
}

// greetingOf is the first line that a server says.
func greetingOf(ctx context.Context, at netip.AddrPort) (string, error) {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", at.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}
