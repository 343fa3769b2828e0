package txn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// The boot unit is there while a transaction is unfinished and at no other time.
const (
	bootUnit  = "/etc/systemd/system/valtctl-resume.service"
	bootWants = "/etc/systemd/system/multi-user.target.wants/valtctl-resume.service"

	// The timer is there only while a transaction with a way back is unfinished. Should
	// the engine be killed in its middle, nothing else would count its deadline.
	timerUnit  = "/etc/systemd/system/valtctl-resume.timer"
	timerWants = "/etc/systemd/system/timers.target.wants/valtctl-resume.timer"
	timerText  = `# Written by valtctl while a change waits to be confirmed, and removed with its end.
[Unit]
Description=See to it that what valtctl had begun ends, or is taken back in time

[Timer]
OnActiveSec=5s
OnUnitInactiveSec=5s
AccuracySec=1s

[Install]
WantedBy=timers.target
`
)

// bootUnitText is the boot unit's content. It is of type exec, not oneshot: a target
// that waited for it would wait for units that its own steps start.
func bootUnitText(agent string) string {
	return fmt.Sprintf(`# Written by valtctl while a transaction is unfinished, and removed with its end.
[Unit]
Description=Finish what valtctl had begun when this host stopped
RequiresMountsFor=/var/lib/valtctl
ConditionPathExists=%s
After=local-fs.target docker.service containerd.service network.target

[Service]
Type=exec
ExecStart=%s txn-resume
KillMode=process
SendSIGHUP=no
TimeoutStopSec=10min
OOMPolicy=continue

[Install]
WantedBy=multi-user.target
`, agent, agent)
}

// arm writes and enables the boot unit, for this program, and with watch also the timer.
// It costs nothing where they are in place.
func (l Launcher) arm(ctx context.Context, watch bool) error {
	if !filepath.IsAbs(l.Agent) || strings.ContainsAny(l.Agent, " \t\n\"'%\\$") {
		return fmt.Errorf("arming the boot unit: %q is no path that a unit can name", l.Agent)
	}
	changed, err := l.enable(bootUnit, bootWants, bootUnitText(l.Agent))
	if err != nil {
		return fmt.Errorf("arming the boot unit: %w", err)
	}
	if watch {
		more, err := l.enable(timerUnit, timerWants, timerText)
		if err != nil {
			return fmt.Errorf("arming the timer: %w", err)
		}
		changed = changed || more
	}
	if changed {
		if err := l.reload(ctx); err != nil {
			return err
		}
	}
	if !watch {
		return nil
	}
	if _, err := l.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "start", "--no-block", filepath.Base(timerUnit)}}); err != nil {
		return fmt.Errorf("starting the timer: %w", err)
	}
	return nil
}

// enable puts a unit in place and says whether that changed anything.
func (l Launcher) enable(unit, wants, text string) (bool, error) {
	was, err := os.ReadFile(l.path(unit))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	target, _ := os.Readlink(l.path(wants))
	if string(was) == text && target == unit {
		return false, nil
	}
	if err := durable.MkdirAll(filepath.Dir(l.path(wants)), 0o755); err != nil {
		return false, err
	}
	if err := durable.WriteFile(l.path(unit), []byte(text), 0o644); err != nil {
		return false, err
	}
	if target == unit {
		return true, nil
	}
	return true, durable.Symlink(unit, l.path(wants))
}

// disarm removes the boot unit if every transaction is finished.
func (l Launcher) disarm(ctx context.Context) error {
	_, err := os.Lstat(l.path(timerUnit))
	watched := err == nil
	removed, err := l.removeUnits()
	if err != nil || !removed {
		return err
	}
	if watched { // before the reload, while systemd still knows it
		if _, err := l.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "stop", "--no-block", filepath.Base(timerUnit)}}); err != nil {
			return fmt.Errorf("stopping the timer: %w", err)
		}
	}
	return l.reload(ctx)
}

// removeUnits decides and removes while no transaction can be created: one that is
// created later arms the unit again.
func (l Launcher) removeUnits() (removed bool, err error) {
	guard, err := l.Store.guard()
	if problem.KindOf(err) == problem.Locked {
		return false, nil // one is being created
	}
	if err != nil {
		return false, err
	}
	defer guard.Close()
	all, err := l.Store.List(0)
	if err != nil {
		return false, err
	}
	for _, t := range all {
		if !t.State.Finished() {
			return false, nil
		}
	}
	if _, err := os.Lstat(l.path(bootUnit)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	for _, path := range []string{timerWants, timerUnit, bootWants, bootUnit} { // the boot unit last: it is asked for above
		if err := durable.Remove(l.path(path)); err != nil {
			return false, fmt.Errorf("removing the boot unit: %w", err)
		}
	}
	return true, nil
}

// reload tells systemd, so that it neither warns of nor lists what has changed.
func (l Launcher) reload(ctx context.Context) error {
	if _, err := l.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of the boot unit: %w", err)
	}
	return nil
}
