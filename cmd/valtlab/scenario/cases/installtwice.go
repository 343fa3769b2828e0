package cases

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// installTwice looks first, installs, and installs again.
func installTwice(ctx context.Context, e *Env) error {
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	if err := e.Timed("bare hosts", func() error { return e.bareSite(ctx) }); err != nil {
		return err
	}
	digest, err := lookFirst(ctx, e, hosts)
	if err != nil {
		return err
	}
	if err := e.Timed("install", func() error { return installAsShown(ctx, e, hosts, digest) }); err != nil {
		return err
	}
	if err := e.serves(ctx); err != nil {
		return err
	}
	return e.Timed("install again", func() error { return installAgain(ctx, e, hosts) })
}

// lookFirst wants a dry run to show every change as a diff and to change nothing.
func lookFirst(ctx context.Context, e *Env, hosts []string) (digest string, err error) {
	before, err := e.fingerprints(ctx, hosts...)
	if err != nil {
		return "", err
	}
	result, err := e.Expect(ctx, 0, "install", "--dry-run")
	if err != nil {
		return "", err
	}
	e.Measure("dry run", "%.2f s", result.Took.Seconds())
	after, err := e.fingerprints(ctx, hosts...)
	if err != nil {
		return "", err
	}
	if err := same(before, after); err != nil {
		return "", fmt.Errorf("after a dry run: %w", err)
	}
	for _, host := range hosts {
		if err := shownAsDiffs(result.Stdout, host); err != nil {
			return "", err
		}
	}
	return planDigest(result.Stdout)
}

// shownAsDiffs wants as many diffs of a host as changes are announced for it.
func shownAsDiffs(text, host string) error {
	announced := regexp.MustCompile(`(?m)^` + host + ` +would change (\d+) of \d+ steps`).FindStringSubmatch(text)
	if announced == nil {
		return fmt.Errorf("the dry run does not say what would change on %s: %s", host, text)
	}
	want, err := strconv.Atoi(announced[1])
	if err != nil {
		return fmt.Errorf("reading how much would change on %s: %w", host, err)
	}
	shown := 0
	for _, part := range strings.Split("\n"+text, "\n=== ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		if !strings.HasPrefix(title, host+": ") {
			continue
		}
		if !regexp.MustCompile(`(?m)^[+-]`).MatchString(body) {
			return fmt.Errorf("the dry run shows no diff of %q", title)
		}
		shown++
	}
	if shown != want || want == 0 {
		return fmt.Errorf("the dry run announces %d changes on %s and shows %d", want, host, shown)
	}
	return nil
}

// planDigest is the digest that a run printed.
func planDigest(text string) (string, error) {
	found := regexp.MustCompile(`(?m), plan ([0-9a-f]{64})$`).FindStringSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("no plan digest is printed: %s", text)
	}
	return found[1], nil
}

// installAsShown installs and wants the hosts' journals to name the plan that was shown.
func installAsShown(ctx context.Context, e *Env, hosts []string, digest string) error {
	if _, err := e.Expect(ctx, 0, "install", "--yes"); err != nil {
		return err
	}
	for _, host := range hosts {
		begin, err := e.Lab.Output(ctx, host, "grep", "-rh", `"kind":"begin"`, "/var/lib/valtctl/txn")
		if err != nil {
			return err
		}
		if strings.Count(begin, `"plan_digest":"`+digest+`"`) != 1 || strings.Contains(begin, "\n") {
			return fmt.Errorf("%s's journal does not begin with plan %s, which the dry run showed, but with %s", host, digest, begin)
		}
	}
	return e.keepBaseline(ctx)
}

// installAgain wants nothing to happen.
func installAgain(ctx context.Context, e *Env, hosts []string) error {
	result, err := e.Expect(ctx, 0, "install", "--yes")
	if err != nil {
		return err
	}
	if !strings.Contains(result.Stdout, "nothing to change") {
		return fmt.Errorf("it does not say that nothing is to change: %s", result.Stdout)
	}
	var errs []error
	for _, host := range hosts {
		errs = append(errs, e.oneTransaction(ctx, host))
	}
	after, err := e.fingerprints(ctx, hosts...)
	return errors.Join(append(errs, err, same(e.shared.baseline, after))...)
}
