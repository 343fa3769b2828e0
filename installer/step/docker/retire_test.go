package docker

import (
	"errors"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/installer/wowza/wowzatest"
)

// A host whose place another one takes stops what records nothing, for good, and on the way back serves
// as it did. While something is recorded it stops nothing.
func TestARetiredHostServesAgainOrNeverByItself(t *testing.T) {
	t.Parallel()
	image := load(t, probeImage(t, "one"))
	p := containerFor(t, image)
	p.Site, p.Disrupts, p.Spec.Restart = "retiring-"+p.Name, step.Engine, "always"
	if err := steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil)); err != nil {
		t.Fatal(err)
	}
	was := inspect(t, p.Name)
	engine := wowzatest.New(t, t.TempDir())
	look := &LastLook{Engine: engine.Access, Quiet: "1ms"}
	look.Engine.PasswordFile = writtenPassword(t)
	retire := steptest.MakeStep(t, RetireKind(), RetireParams{Site: p.Site, LastLook: look})
	h := backed(engineMachine(nil), t.TempDir())

	engine.Record("lobby", "Recording in Progress")
	if err := retire.Apply(t.Context(), h); !errors.Is(err, step.ErrNotDrained) || !inspect(t, p.Name).State.Running {
		t.Fatalf("while it records: %v", err)
	}
	engine.Record("lobby", "")
	if f, err := retire.Inspect(t.Context(), h); err != nil || !f.Change || f.Disrupts != step.Engine || !strings.Contains(f.Diff, p.Name) {
		t.Fatalf("%+v, %v", f, err)
	}
	for range 2 { // again, as after a cut
		if err := retire.Apply(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	now := inspect(t, p.Name)
	if now.ID != was.ID || now.State.Running || now.HostConfig.RestartPolicy.Name != container.RestartPolicyDisabled {
		t.Errorf("it is %s, with the restart policy %s", now.State.Status, now.HostConfig.RestartPolicy.Name)
	}
	if f, err := retire.Inspect(t.Context(), h); err != nil || f.Change {
		t.Errorf("at rest: %+v, %v", f, err)
	}
	for range 2 {
		if err := retire.(step.Undoer).Undo(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	if now = inspect(t, p.Name); now.ID != was.ID || !now.State.Running || now.HostConfig.RestartPolicy != was.HostConfig.RestartPolicy {
		t.Errorf("back, it is %s, with the restart policy %s", now.State.Status, now.HostConfig.RestartPolicy.Name)
	}
}
