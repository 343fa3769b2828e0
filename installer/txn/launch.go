package txn

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
)

// Launcher runs transactions in systemd units of their own, so that neither the end of
// an SSH connection nor a restart of the host leaves one undone.
type Launcher struct {
	Store *Store
	Agent string // this program's path on the host, by its content's hash: it will be there after a reboot
	Root  string // "" on a real host
	Run   step.Runner
}

// Start arms the boot unit and runs a transaction in a transient unit; it returns once
// the unit runs. A transaction that runs already is no error. No secret is in the unit.
func (l Launcher) Start(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	if running, err := l.running(id); running || err != nil {
		return err
	}
	r, err := l.Store.request(id)
	if err != nil {
		return err
	}
	if l.Store.readSummary(id) != nil {
		return nil // it is over: it was begun before, and its beginner does not know
	}
	if err := l.arm(ctx, r.Confirm != ""); err != nil {
		return fmt.Errorf("starting transaction %s: %w", id, err)
	}
	_, err = l.Run.Run(ctx, step.Command{Argv: l.unitArgv(id)})
	if err == nil {
		return nil
	}
	if running, lockErr := l.running(id); running || lockErr != nil { // somebody was faster
		return lockErr
	}
	return fmt.Errorf("starting transaction %s: %w", id, err)
}

func (l Launcher) running(id string) (bool, error) {
	busy, err := journal.Busy(l.Store.journalFile(id))
	if err != nil {
		return false, fmt.Errorf("looking whether transaction %s runs: %w", id, err)
	}
	return busy, nil
}

// unitArgv is the systemd-run(1) command of a transaction's unit. It returns after
// execve (Type=exec), and the unit vanishes with its process even when that fails.
func (l Launcher) unitArgv(id string) []string {
	argv := []string{
		"systemd-run", "--quiet", "--collect", "--no-ask-password",
		"--unit", "valtctl-txn-" + id + ".service",
		"--description", "valtctl transaction " + id,
		"--service-type", "exec",
	}
	for _, p := range unitProperties() {
		argv = append(argv, "--property", p)
	}
	return append(argv, "--", l.Agent, "txn-run", id)
}

// unitProperties are those of every unit that runs a transaction (systemd.kill(5),
// systemd.service(5)). A signal goes to the engine alone: dpkg in its middle is let
// finish, also when the engine itself is killed or the host stops. Being ordered after
// the engine's and the network's units means being stopped before them at a shutdown,
// so that a step does not fail because they went first.
func unitProperties() []string {
	return []string{
		"KillMode=process",
		"SendSIGHUP=no",
		"TimeoutStopSec=10min",
		"OOMPolicy=continue",
		"After=docker.service",
		"After=containerd.service",
		"After=network.target",
	}
}

// Execute runs a transaction in this process, which a unit of Start's is, and disarms
// the boot unit once nothing is left to resume.
func (l Launcher) Execute(ctx context.Context, id string, m *step.Machine, kinds step.Registry) (Result, error) {
	result, err := l.Store.Execute(ctx, id, m, kinds)
	return result, errors.Join(err, l.disarm(context.WithoutCancel(ctx)))
}

// Resumed is what became of a transaction after a restart of the host.
type Resumed struct {
	ID     string
	Result Result
	Err    error
}

// Resume goes on with every unfinished transaction, as the boot unit does after a
// restart, and disarms that unit once nothing is left. One in its apply half is brought
// to its end. One in its fetch half has lost what it was fetching with: it is recorded
// as waiting and left to a person.
func (l Launcher) Resume(ctx context.Context, m *step.Machine, kinds step.Registry) ([]Resumed, error) {
	all, err := l.Store.List(0)
	if err != nil {
		return nil, err
	}
	var resumed []Resumed
	for i := len(all) - 1; i >= 0; i-- { // oldest first
		t := all[i]
		if t.State.Finished() || t.State == StateRunning || l.knowsToWait(t) {
			continue
		}
		if running, err := l.running(t.ID); running || err != nil { // one that waits to be confirmed runs, too
			continue
		}
		result, err := l.Store.Execute(ctx, t.ID, m, kinds)
		resumed = append(resumed, Resumed{t.ID, result, err})
	}
	return resumed, l.disarm(context.WithoutCancel(ctx))
}

// knowsToWait says whether a waiting transaction's journal already says so: a second
// boot need not say it again.
func (l Launcher) knowsToWait(t Summary) bool {
	if t.State != StateWaiting {
		return false
	}
	records, _, err := journal.ReadFile(l.Store.journalFile(t.ID))
	return err == nil && readPast(records).last == journal.Waiting
}

// path is where a path of the host is for this process.
func (l Launcher) path(p string) string { return filepath.Join(l.Root, p) }
