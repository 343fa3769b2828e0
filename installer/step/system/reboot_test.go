package system

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/installer/wowza/wowzatest"
)

// bootedHost is a host in its first boot, on which systemctl is noted.
type bootedHost struct {
	*step.Machine
	ran  []string
	down func() // what a reboot does to this process
}

func (b *bootedHost) Run(_ context.Context, c step.Command) (step.Output, error) {
	b.ran = append(b.ran, strings.Join(c.Argv, " "))
	if b.down != nil {
		b.down()
	}
	return step.Output{}, nil
}

func bootedOnce(t *testing.T) *bootedHost {
	t.Helper()
	b := &bootedHost{Machine: &step.Machine{Root: t.TempDir(), Keep: filepath.Join(t.TempDir(), "keep"), Now: time.Now, BootID: "first"}}
	b.Machine.Run = b
	if err := os.MkdirAll(b.Path("/run"), 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

// wantsReboot is what a package's script leaves.
func (b *bootedHost) wantsReboot(t *testing.T) {
	t.Helper()
	for name, text := range map[string]string{"/run/reboot-required": "*** System restart required ***\n", "/run/reboot-required.pkgs": "linux-base\n"} {
		if err := os.WriteFile(b.Path(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAHostIsRebootedOnlyWhereOneIsWanted(t *testing.T) {
	b := bootedOnce(t)
	found, err := steptest.MakeStep(t, RebootKind(), RebootParams{}).Inspect(t.Context(), b.Machine)
	if err != nil || found.Change {
		t.Fatalf("%+v, %v", found, err)
	}
	b.wantsReboot(t)
	found, err = steptest.MakeStep(t, RebootKind(), RebootParams{}).Inspect(t.Context(), b.Machine)
	if err != nil || !found.Change || found.Disrupts != step.Host || !strings.Contains(found.Diff, "linux-base") {
		t.Fatalf("%+v, %v", found, err)
	}
}

func TestAHostIsRebootedOnceInATransaction(t *testing.T) {
	b := bootedOnce(t)
	b.wantsReboot(t)
	ctx, down := context.WithCancel(t.Context())
	b.down = down
	s := steptest.MakeStep(t, RebootKind(), RebootParams{})
	if err := s.Apply(ctx, b.Machine); !errors.Is(err, context.Canceled) {
		t.Fatalf("it went on while the host went down: %v", err)
	}
	if !slices.Equal(b.ran, []string{"systemctl reboot"}) {
		t.Errorf("it ran %v", b.ran)
	}
	if found, err := s.Inspect(t.Context(), b.Machine); err != nil || !found.Change {
		t.Errorf("before the host went down it is taken for rebooted: %+v, %v", found, err)
	}
	b.BootID = "second" // and something asks for another one at once
	if found, err := s.Inspect(t.Context(), b.Machine); err != nil || found.Change {
		t.Errorf("it would be rebooted for ever: %+v, %v", found, err)
	}
}

func TestAHostThatRecordsIsNotRebooted(t *testing.T) {
	b := bootedOnce(t)
	b.wantsReboot(t)
	engine := wowzatest.New(t, b.Root)
	engine.Record("lobby", "Recording in Progress")
	s := steptest.MakeStep(t, RebootKind(), RebootParams{LastLook: &docker.LastLook{Engine: engine.Access, Quiet: "1ms"}})
	if err := s.Apply(t.Context(), b.Machine); !errors.Is(err, step.ErrNotDrained) || !strings.Contains(err.Error(), "lobby") {
		t.Errorf("%v", err)
	}
	engine.Answer("<html>") // what nobody understands may record
	if err := s.Apply(t.Context(), b.Machine); err == nil || errors.Is(err, step.ErrNotDrained) {
		t.Errorf("%v", err)
	}
	if len(b.ran) > 0 {
		t.Errorf("it ran %v", b.ran)
	}
}

func TestAHostThatNothingGoesOnWithIsNotRebooted(t *testing.T) {
	b := bootedOnce(t)
	b.wantsReboot(t)
	b.Keep = ""
	if err := steptest.MakeStep(t, RebootKind(), RebootParams{}).Apply(t.Context(), b.Machine); err == nil || len(b.ran) > 0 {
		t.Errorf("%v, it ran %v", err, b.ran)
	}
}
