package system

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
)

// systemdOf stands in for systemctl: it links units as systemd does.
func systemdOf(t *testing.T, h *step.Machine) steptest.RunFunc {
	link := func(target, name string) {
		if err := os.MkdirAll(filepath.Dir(h.Path(name)), 0o755); err != nil {
			t.Error(err)
		}
		_ = os.Remove(h.Path(name))
		if err := os.Symlink(target, h.Path(name)); err != nil {
			t.Error(err)
		}
	}
	return func(_ context.Context, c step.Command) (step.Output, error) {
		wants := map[string]string{"systemd-timesyncd.service": "sysinit", "chrony.service": "multi-user"}
		switch unit := c.Argv[2]; c.Argv[1] {
		case "enable":
			link("/lib/systemd/system/"+unit, "/etc/systemd/system/"+wants[unit]+".target.wants/"+unit)
		case "restart":
			if !inContainer(h) {
				link("0123", "/run/systemd/units/invocation:"+unit)
			}
		}
		return step.Output{}, nil
	}
}

func TestClockIsSetEnabledAndStarted(t *testing.T) {
	t.Parallel()
	for service, want := range map[string]struct{ path, text string }{
		Timesyncd: {"/etc/systemd/timesyncd.conf.d/valtctl.conf", "[Time]\nNTP=\nNTP=10.0.0.1 ntp.example\nFallbackNTP=\n"},
		Chrony:    {"/etc/chrony/sources.d/valtctl.sources", "server 10.0.0.1 iburst\nserver ntp.example iburst\n"},
	} {
		t.Run(service, func(t *testing.T) {
			h := steptest.RootMachine(t, nil)
			h.Run = systemdOf(t, h)
			steptest.Settles(t, steptest.MakeStep(t, ClockKind(), ClockParams{Servers: []string{"10.0.0.1", "ntp.example"}, Service: service}), h)
			if got := steptest.Content(t, h, want.path); !strings.HasSuffix(got, want.text) {
				t.Errorf("%s holds %q", want.path, got)
			}
			steptest.Settles(t, steptest.MakeStep(t, ClockKind(), ClockParams{Service: service}), h)
			if _, err := os.Stat(h.Path(want.path)); err == nil {
				t.Error("our servers stay after the site names none")
			}
		})
	}
}

func TestClockIsRestartedWhenItRunsWithOldSettings(t *testing.T) {
	t.Parallel()
	h := steptest.RootMachine(t, nil)
	h.Run = systemdOf(t, h)
	s := steptest.MakeStep(t, ClockKind(), ClockParams{Servers: []string{"10.0.0.1"}, Service: Timesyncd})
	steptest.Settles(t, s, h)
	// As after a kill between the writing and the restart.
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(h.Path("/etc/systemd/timesyncd.conf.d/valtctl.conf"), later, later); err != nil {
		t.Fatal(err)
	}
	found, err := s.Inspect(t.Context(), h)
	if err != nil || found.Diff != "+ systemd-timesyncd.service started with its present settings\n" {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestClockOfAContainerIsItsHosts(t *testing.T) {
	t.Parallel()
	h := steptest.RootMachine(t, nil)
	h.Run = systemdOf(t, h)
	steptest.Place(t, h, "/run/systemd/container", "docker")
	found := steptest.Settles(t, steptest.MakeStep(t, ClockKind(), ClockParams{Servers: []string{"10.0.0.1"}, Service: Timesyncd}), h)
	if len(found.Notes) != 1 || !strings.Contains(found.Notes[0], "is a container") {
		t.Errorf("notes: %q", found.Notes)
	}
}

func TestClockRefusesWhatWouldBreakItsFile(t *testing.T) {
	t.Parallel()
	for _, p := range []ClockParams{
		{Service: "ntpd"}, {Service: Chrony, Servers: []string{"a b"}}, {Service: Timesyncd, Servers: []string{"x\n[Service]"}}, {Service: Chrony, Servers: []string{""}},
	} {
		if _, err := newClock(p); err == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
}
