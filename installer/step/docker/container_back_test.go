package docker

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/installer/wowza/wowzatest"
	"ipivs.com/valtctl/repos/testdraw"
)

// backed is a machine whose transaction has a way back.
func backed(h *step.Machine, keep string) *step.Machine {
	h.Keep = keep
	return h
}

// runsAlone wants the project to have the one container of that id, under its own name,
// running and with its restart policy.
func runsAlone(t *testing.T, p ContainerParams, id string, point int) {
	t.Helper()
	if states := ofProject(t, p.Project); len(states) != 1 || states[p.Name] != "running" {
		t.Fatalf("point %d: %v", point, states)
	}
	got := inspect(t, p.Name)
	if got.ID != id || got.HostConfig.RestartPolicy.Name != "always" {
		t.Fatalf("point %d: %s with restart policy %s, not %s", point, got.ID, got.HostConfig.RestartPolicy.Name, id)
	}
}

func TestReplacedContainerComesBackFromAnyPoint(t *testing.T) {
	t.Parallel()
	one, two := load(t, probeImage(t, "one")), load(t, probeImage(t, "two"))
	p := containerFor(t, one)
	p.Spec.Restart = "always"
	if err := steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil)); err != nil {
		t.Fatal(err)
	}
	old := inspect(t, p.Name).ID
	for point := range testdraw.Points(t) {
		keep := filepath.Join(t.TempDir(), "keep")
		next := p
		next.Image = two
		s := steptest.MakeStep(t, ContainerKind(), next)
		killed := s.Apply(t.Context(), backed(cutEngine(t, point), keep))
		mayComeUp(t, p, point)
		for range 2 { // again, as after a cut at its end
			if err := s.(step.Undoer).Undo(t.Context(), backed(engineMachine(nil), keep)); err != nil {
				t.Fatalf("taking back after a kill at point %d: %v", point, err)
			}
		}
		runsAlone(t, p, old, point)
		if killed == nil {
			if point < 4 && testdraw.IsWhole() {
				t.Errorf("only %d changes: the kills missed something", point)
			}
			testdraw.Tried(t, point, "kills")
			return
		}
	}
}

func TestWayBackSurvivesAKillAtEveryPoint(t *testing.T) {
	t.Parallel()
	one, two := load(t, probeImage(t, "one")), load(t, probeImage(t, "two"))
	p := containerFor(t, one)
	p.Spec.Restart = "always"
	if err := steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil)); err != nil {
		t.Fatal(err)
	}
	old := inspect(t, p.Name).ID
	for point := range testdraw.Points(t) {
		keep := filepath.Join(t.TempDir(), "keep")
		next := p
		next.Image = two
		s := steptest.MakeStep(t, ContainerKind(), next)
		if err := s.Apply(t.Context(), backed(engineMachine(nil), keep)); err != nil {
			t.Fatal(err)
		}
		killed := s.(step.Undoer).Undo(t.Context(), backed(cutEngine(t, point), keep))
		mayComeUp(t, p, point)
		if err := s.(step.Undoer).Undo(t.Context(), backed(engineMachine(nil), keep)); err != nil {
			t.Fatalf("taking back after a kill at point %d of taking back: %v", point, err)
		}
		runsAlone(t, p, old, point)
		if killed == nil {
			testdraw.Tried(t, point, "kills")
			return
		}
	}
}

func TestTheFormerContainerIsKeptUntilItIsSettled(t *testing.T) {
	t.Parallel()
	one, two := load(t, probeImage(t, "one")), load(t, probeImage(t, "two"))
	p := containerFor(t, one)
	p.Spec.Restart = "always"
	if err := steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil)); err != nil {
		t.Fatal(err)
	}
	h := backed(engineMachine(nil), t.TempDir())
	p.Image = two
	s := steptest.MakeStep(t, ContainerKind(), p)
	steptest.Settles(t, s, h) // with the former one aside nothing differs
	aside := inspect(t, p.Name+"-old")
	if aside == nil || aside.State.Running || aside.HostConfig.RestartPolicy.Name != container.RestartPolicyDisabled {
		t.Fatalf("the former container is not kept as one that stays down: %+v", aside)
	}
	new := inspect(t, p.Name).ID
	for range 2 {
		if err := s.(step.Settler).Settle(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	runsAlone(t, p, new, 0)
}

func TestANewServiceGoesAgain(t *testing.T) {
	p := containerFor(t, load(t, probeImage(t, "")))
	h := backed(engineMachine(nil), t.TempDir())
	s := steptest.MakeStep(t, ContainerKind(), p)
	steptest.Settles(t, s, h)
	for range 2 {
		if err := s.(step.Undoer).Undo(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	if states := ofProject(t, p.Project); len(states) != 0 {
		t.Errorf("left behind: %v", states)
	}
}

// recording is a container that records, as far as its host can tell, and its successor.
func recording(t *testing.T) (*step.Machine, *wowzatest.Engine, step.Step, ContainerParams, string) {
	t.Helper()
	h := backed(engineMachine(nil), t.TempDir())
	engine := wowzatest.New(t, t.TempDir())
	one, two := load(t, probeImage(t, "one")), load(t, probeImage(t, "two")) // first: they go last
	p := containerFor(t, one)
	p.Disrupts, p.Spec.Restart = step.Engine, "always"
	if err := steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil)); err != nil {
		t.Fatal(err)
	}
	old := inspect(t, p.Name).ID
	next := p
	next.Image = two
	next.LastLook = &LastLook{Engine: engine.Access, Quiet: "1ms"}
	next.LastLook.Engine.PasswordFile = writtenPassword(t)
	return h, engine, steptest.MakeStep(t, ContainerKind(), next), p, old
}

// writtenPassword is a password file under this machine's own root.
func writtenPassword(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "engine")
	if err := step.WriteFile(&step.Machine{}, file, []byte(wowzatest.Password), step.Owner{Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNothingThatRecordsIsStopped(t *testing.T) {
	t.Parallel()
	h, engine, s, p, old := recording(t)
	engine.Record("lobby", "Recording in Progress")
	err := s.Apply(t.Context(), h)
	if !errors.Is(err, step.ErrNotDrained) || !strings.Contains(err.Error(), "lobby") {
		t.Fatalf("%v", err)
	}
	runsAlone(t, p, old, 0)
}

func TestWhereItIsNotKnownNothingIsStopped(t *testing.T) {
	t.Parallel()
	h, engine, s, p, old := recording(t)
	engine.Answer("<html>")
	if err := s.Apply(t.Context(), h); err == nil || errors.Is(err, step.ErrNotDrained) || !strings.Contains(err.Error(), "not known") && !strings.Contains(err.Error(), "looking for recordings") {
		t.Fatalf("%v", err)
	}
	runsAlone(t, p, old, 0)
}

func TestGoingBackWaitsForTheEndOfRecordings(t *testing.T) {
	t.Parallel()
	h, engine, s, p, old := recording(t)
	if err := s.Apply(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	engine.Record("lobby", "Recording in Progress")
	waited := false
	h.Progress = func(pr step.Progress) {
		if strings.Contains(pr.Text, "lobby") {
			waited = true
			if inspect(t, p.Name).ID == old {
				t.Error("it went back in the middle of a recording")
			}
			engine.Record("lobby", "")
		}
	}
	if err := s.(step.Undoer).Undo(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if !waited {
		t.Error("it did not wait")
	}
	runsAlone(t, p, old, 0)
}
