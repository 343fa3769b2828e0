package txn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// The boot unit is there while a transaction is unfinished and at no other time.
const (
	bootUnit  = "/etc/systemd/system/valtctl-resume.service"
	bootWants = "/etc/systemd/system/multi-user.target.wants/valtctl-resume.service"
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

// arm writes and enables the boot unit, for this program. It costs nothing where it is
// in place.
func (l Launcher) arm(ctx context.Context) error {
	if !filepath.IsAbs(l.Agent) || strings.ContainsAny(l.Agent, " \t\n\"'%\\$") {
		return fmt.Errorf("arming the boot unit: %q is no path that a unit can name", l.Agent)
	}
	text := bootUnitText(l.Agent)
	was, err := os.ReadFile(l.path(bootUnit))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("arming the boot unit: %w", err)
	}
	target, _ := os.Readlink(l.path(bootWants))
	if string(was) == text && target == bootUnit {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(l.path(bootWants)), 0o755); err != nil {
		return fmt.Errorf("arming the boot unit: %w", err)
	}
	if err := writeWhole(l.path(bootUnit), []byte(text), 0o644); err != nil {
		return fmt.Errorf("arming the boot unit: %w", err)
	}
	if target != bootUnit {
		if err := errors.Join(removeIfThere(l.path(bootWants)), os.Symlink(bootUnit, l.path(bootWants))); err != nil {
			return fmt.Errorf("enabling the boot unit: %w", err)
		}
		if err := journal.SyncDir(filepath.Dir(l.path(bootWants))); err != nil {
			return err
		}
	}
	return l.reload(ctx)
}

// disarm removes the boot unit if every transaction is finished.
func (l Launcher) disarm(ctx context.Context) error {
	removed, err := l.removeBootUnit()
	if err != nil || !removed {
		return err
	}
	return l.reload(ctx)
}

// removeBootUnit decides and removes while no transaction can be created: one that is
// created later arms the unit again.
func (l Launcher) removeBootUnit() (removed bool, err error) {
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
	if err := errors.Join(removeIfThere(l.path(bootWants)), removeIfThere(l.path(bootUnit))); err != nil {
		return false, fmt.Errorf("removing the boot unit: %w", err)
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

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}
