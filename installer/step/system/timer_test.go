package system

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/step/steptest"
)

// active is systemd as far as one timer goes.
type active struct{ running bool }

func (a *active) Run(_ context.Context, c step.Command) (step.Output, error) {
	switch words := strings.Join(c.Argv, " "); words {
	case "systemctl --quiet is-active s.timer":
		if !a.running {
			return step.Output{Code: 3}, fmt.Errorf("it is not active")
		}
	case "systemctl restart s.timer":
		a.running = true
	case "systemctl stop s.timer":
		a.running = false
	}
	return step.Output{}, nil
}

func TestATimerRunsUntilItIsAbsent(t *testing.T) {
	h := steptest.RootMachine(t, nil)
	systemd := &active{}
	h.Run = systemd
	on := steptest.MakeStep(t, TimerKind(), TimerParams{Name: "s", Service: "[Service]\nExecStart=/bin/true\n", Timer: "[Timer]\nOnBootSec=1\n"})
	steptest.Settles(t, on, h)
	if _, err := os.Readlink(h.Path("/etc/systemd/system/timers.target.wants/s.timer")); err != nil || !systemd.running {
		t.Errorf("it is not enabled (%v), or does not run (%v)", err, systemd.running)
	}
	systemd.running = false
	steptest.Settles(t, on, h)
	off := steptest.MakeStep(t, files.AbsentKind(), files.AbsentParams{Stop: []string{"s.timer"}, Paths: []string{
		"/etc/systemd/system/timers.target.wants/s.timer", "/etc/systemd/system/s.timer", "/etc/systemd/system/s.service"}})
	steptest.Settles(t, off, h)
	if systemd.running {
		t.Error("it still runs")
	}
	if _, err := files.AbsentKind().New([]byte(`{"paths":["/"]}`)); err == nil {
		t.Error("everything may be removed")
	}
}
