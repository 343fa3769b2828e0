package cases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/scenario"
	"ipivs.com/valtctl/repos/sleep"
)

// twoControllers has two runs meet, one wake up after its lease was taken over, and the
// host that keeps the lease come back with nothing on its disk. In a sample they are about one
// host.
func twoControllers(ctx context.Context, e *Env) error {
	if err := e.bareSite(ctx); err != nil {
		return err
	}
	hosts, err := e.disturbed()
	if err != nil {
		return err
	}
	if err := e.Timed("two at once", func() error { return e.twoAtOnce(ctx, hosts) }); err != nil {
		return err
	}
	return e.parts(ctx,
		show{"a holder paused past its lease", func(ctx context.Context) error { return e.pausedHolder(ctx, hosts) }},
		show{"the host of the lease reinstalled", func(ctx context.Context) error { return e.reinstalledKeeper(ctx, hosts) }})
}

// twoAtOnce starts two installations together: one works, the other says who does.
func (e *Env) twoAtOnce(ctx context.Context, hosts []string) error {
	other, err := e.elsewhere()
	if err != nil {
		return err
	}
	results := make(chan scenario.Result, 2)
	failed := make(chan error, 2)
	for _, env := range []*Env{e, other} {
		go func() {
			r, err := env.Run(ctx, append([]string{"install", "--yes"}, on(hosts)...)...)
			results <- r
			failed <- err
		}()
	}
	first, second := <-results, <-results
	if err := errors.Join(<-failed, <-failed); err != nil {
		return err
	}
	if first.Code == 0 {
		first, second = second, first
	}
	if first.Code != 5 || second.Code != 0 {
		return fmt.Errorf("they ended with %d and %d instead of 5 and 0: %s / %s", first.Code, second.Code, first.Stderr, second.Stderr)
	}
	if !strings.Contains(first.Stderr, "lease") && !strings.Contains(first.Stderr, "transaction") {
		return fmt.Errorf("it does not say what is in the way: %s", first.Stderr)
	}
	e.Measure("the one that came second", "exit 5 after %.1f s", first.Took.Seconds())
	if e.Sample {
		return nil // the installation has looked at its host
	}
	return e.serves(ctx)
}

// leaseSeconds is how long the paused run holds its lease.
const leaseSeconds = 15

// pausedHolder stops a run in its middle until another one has taken over and finished.
func (e *Env) pausedHolder(ctx context.Context, hosts []string) error {
	target := hosts[len(hosts)-1]
	if err := e.Lab.Reset(ctx, target); err != nil {
		return err
	}
	u, err := e.launch(ctx, moment{host: target}, append([]string{"install", "--yes", "--lease", fmt.Sprintf("%ds", leaseSeconds)}, on(hosts)...)...)
	if err != nil {
		return err
	}
	if err := u.await(ctx, moment{host: target}); err != nil {
		return err
	}
	if err := u.command.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pausing the run: %w", err)
	}
	if err := sleep.For(ctx, (leaseSeconds+2)*time.Second); err != nil {
		return err
	}
	other, err := e.elsewhere()
	if err != nil {
		return err
	}
	if _, err := other.Expect(ctx, 0, append([]string{"resume", "--yes"}, on(hosts)...)...); err != nil {
		return err
	}
	code, before, after, err := e.woken(ctx, u, hosts)
	if err != nil {
		return err
	}
	if code != 5 {
		return fmt.Errorf("the run that woke up ended with %d instead of 5: %s", code, u.stderr)
	}
	if before != after {
		return fmt.Errorf("the run that woke up changed something: %s, then %s", before, after)
	}
	return nil
}

// woken lets a run that was stopped go on to its end, and returns its exit code and what all hosts had
// recorded before and after.
func (e *Env) woken(ctx context.Context, u *underWay, hosts []string) (code int, before, after string, err error) {
	if before, err = e.journals(ctx, hosts); err != nil {
		return 0, "", "", err
	}
	if err := u.command.Process.Signal(syscall.SIGCONT); err != nil {
		return 0, "", "", fmt.Errorf("waking the run: %w", err)
	}
	if code, err = u.end(ctx); err != nil {
		return 0, "", "", err
	}
	after, err = e.journals(ctx, hosts)
	return code, before, after, err
}

// journals is what all hosts have recorded, as one number each.
func (e *Env) journals(ctx context.Context, hosts []string) (string, error) {
	var all []string
	for _, h := range hosts {
		out, err := e.Lab.Output(ctx, h, "sh", "-c", "cat /var/lib/valtctl/txn/*/journal.jsonl | sha256sum; ls /var/lib/valtctl/txn | wc -l")
		if err != nil {
			return "", err
		}
		all = append(all, h+" "+strings.Join(strings.Fields(out), " "))
	}
	return strings.Join(all, "; "), nil
}

// reinstalledKeeper makes the application host bare while the others remember a token, also
// those that the runs were not about.
func (e *Env) reinstalledKeeper(ctx context.Context, hosts []string) error {
	all, err := e.siteHosts()
	if err != nil {
		return err
	}
	remembered, err := e.fence(ctx, all[len(all)-1])
	if err != nil {
		return err
	}
	bare := []string{"app1"}
	if e.Sample && hosts[0] != "app1" { // it must have something to change, and a third host remembers
		bare = append(bare, hosts[0])
	}
	if err := e.Lab.Reset(ctx, bare...); err != nil {
		return err
	}
	if _, err := e.Expect(ctx, 0, append([]string{"install", "--yes"}, on(hosts)...)...); err != nil {
		return err
	}
	given, err := e.fence(ctx, "app1")
	if err != nil {
		return err
	}
	e.Measure("tokens", "%d before, %d from the host that had forgotten", remembered, given)
	if given <= remembered {
		return fmt.Errorf("the reinstalled host gave out token %d, and %d was known", given, remembered)
	}
	return nil
}

func (e *Env) fence(ctx context.Context, host string) (int64, error) {
	text, err := e.Lab.Output(ctx, host, "cat", "/var/lib/valtctl/fence.json")
	if err != nil {
		return 0, err
	}
	var f struct{ Highest int64 }
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return 0, fmt.Errorf("reading the token of %s: %w", host, err)
	}
	return f.Highest, nil
}
