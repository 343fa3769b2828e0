package apt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// damage looks at dpkg's state four ways, since each misses what another sees: its
// journal, the states of the packages, dpkg's own audit, and apt's view of dependencies.
func (t *transaction) damage(ctx context.Context) ([]string, error) {
	if err := t.awaitLocks(ctx); err != nil {
		return nil, err
	}
	state, err := readDpkg(t.h)
	if err != nil {
		return nil, err
	}
	found := state.damage()
	audit, err := t.ask(ctx, []string{"dpkg", "--audit"})
	if len(found) == 0 && (err != nil || strings.TrimSpace(string(audit.Stdout)) != "") {
		found = append(found, strings.TrimSpace("dpkg --audit: "+string(audit.Stdout)+string(audit.Stderr)))
	}
	if out, err := t.run(ctx, aptGet("check")); err != nil {
		found = append(found, "apt-get check: "+firstError(out, err))
	}
	return found, nil
}

// firstError is apt's first own word on a failure.
func firstError(out step.Output, err error) string {
	for line := range strings.Lines(string(out.Stderr)) {
		if message, ok := strings.CutPrefix(strings.TrimSpace(line), "E: "); ok {
			return message
		}
	}
	return err.Error()
}

// repair mends what an interrupted package manager left: first by configuring what
// is unpacked, then by letting apt complete dependencies, but only if that removes nothing.
func (t *transaction) repair(ctx context.Context) error {
	found, err := t.damage(ctx)
	if err != nil || len(found) == 0 {
		return err
	}
	t.h.Report(step.Progress{Text: "mending dpkg: " + found[0]})
	// A half-configured package may be configured only after a missing one came: what this
	// does not mend, the next look tells.
	_, configured := t.runToEnd(ctx, []string{"dpkg", "--force-confdef", "--force-confold", "--configure", "-a"})
	if found, err = t.damage(ctx); err != nil || len(found) == 0 {
		return err
	}
	changes, err := t.simulate(ctx, []string{"-f", "install"})
	if err != nil {
		return unrepaired(found, errors.Join(configured, err))
	}
	if gone := removals(changes); len(gone) > 0 {
		return unrepaired(found, fmt.Errorf("apt would remove %s to mend it", strings.Join(gone, ", ")))
	}
	args := append([]string{"-f", "install", "--no-remove"}, installOptions()...)
	out, err := t.runToEnd(ctx, aptGet(args...))
	if err != nil {
		return unrepaired(found, aptError("running", "apt-get -f install", out, err))
	}
	if found, err = t.damage(ctx); err != nil || len(found) == 0 {
		return err
	}
	return unrepaired(found, configured)
}

// unrepaired is the way to quarantine: a person must decide.
func unrepaired(found []string, cause error) error {
	return &problem.Error{Doing: "mending", Object: "dpkg's state", Err: errors.Join(errors.New(strings.Join(found, "\n")), cause),
		Fix: "See what is wrong with: dpkg --audit; apt-get check. Mend it by hand, or remove the package that fails, then run valtctl resume."}
}
