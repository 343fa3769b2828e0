package docker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
)

// database is a container that keeps data and takes that long to stop, its successor, and how
// the successor's step is made: with so little time for a container that keeps data.
func database(t *testing.T, takes string, least time.Duration) (p ContainerParams, old string, next *containerStep) {
	t.Helper()
	one, two := load(t, probeImage(t, "one")), load(t, probeImage(t, "two")) // first: they go last
	p = containerFor(t, one)
	p.Spec.Command = []string{"slow", takes}
	second := 1
	p.Spec.StopSeconds = &second
	p.Spec.Mounts = []ContainerMount{{Type: "bind", Source: t.TempDir(), Target: "/data"}}
	if err := steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil)); err != nil {
		t.Fatal(err)
	}
	old = inspect(t, p.Name).ID
	n := p
	n.Image = two
	next = steptest.MakeStep(t, ContainerKind(), n).(*containerStep)
	next.least = least
	return p, old, next
}

// What keeps data is given its time, whatever little the Compose file says.
func TestAContainerThatKeepsDataIsNotKilledByImpatience(t *testing.T) {
	t.Parallel()
	_, old, next := database(t, "2s", leastForData)
	started := inspect(t, old).State.StartedAt
	if err := next.Apply(t.Context(), backed(engineMachine(nil), t.TempDir())); err != nil {
		t.Fatal(err)
	}
	if was := inspect(t, old); was.State.ExitCode != 0 || was.State.StartedAt != started {
		t.Errorf("it ended with %d, and was started at %s and %s", was.State.ExitCode, started, was.State.StartedAt)
	}
}

// One that was killed is started again and stopped in order: its successor finds its data as it
// should be.
func TestAKilledDatabaseIsBroughtInOrderBeforeItsSuccessorStarts(t *testing.T) {
	t.Parallel()
	p, old, next := database(t, "2s", time.Second)
	if err := next.Apply(t.Context(), backed(engineMachine(nil), t.TempDir())); err != nil {
		t.Fatal(err)
	}
	if was := inspect(t, old); was.State.ExitCode != 0 {
		t.Errorf("it ended with %d at last", was.State.ExitCode)
	}
	if now := inspect(t, p.Name); now.ID == old || !now.State.Running {
		t.Errorf("its successor is %+v", now.State)
	}
}

// One that never comes to its own end is not replaced: it goes on as it did.
func TestADatabaseThatDoesNotStopIsNotReplaced(t *testing.T) {
	t.Parallel()
	p, old, next := database(t, "1h", time.Second)
	err := next.Apply(t.Context(), engineMachine(nil))
	if err == nil || !strings.Contains(err.Error(), "was killed, twice") {
		t.Fatal(err)
	}
	runsAlone(t, p, old, 0)
}

// A media engine is stopped when nothing is recorded, and as quickly as its Compose file says.
func TestAMediaEngineIsNotWaitedForLikeADatabase(t *testing.T) {
	t.Parallel()
	_, old, next := database(t, "1h", time.Hour)
	next.Disrupts = step.Engine
	if err := next.Apply(t.Context(), backed(engineMachine(nil), t.TempDir())); err != nil {
		t.Fatal(err)
	}
	if code := inspect(t, old).State.ExitCode; code != killedCode {
		t.Errorf("it ended with %d", code)
	}
}

// shutGate has the host's gate be closed, as far as files tell.
func shutGate(t *testing.T, h *step.Machine) {
	t.Helper()
	h.Root = t.TempDir()
	file := h.Path(facts.GateRules)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// An engine that says nothing sensible is why one goes back. Behind a gate that was closed
// before it came it has admitted nobody; else it may be recording.
func TestAMuteEngineIsTakenBackWhereNobodyCouldReachIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ before, since bool }{{true, true}, {true, false}, {false, false}} {
		shut := c.before && c.since
		h, engine, s, p, old := recording(t)
		if c.before {
			root := h.Root
			shutGate(t, h)
			if err := os.MkdirAll(h.Path("/var/run"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(root, "/var/run/docker.sock"), h.Path("/var/run/docker.sock")); err != nil {
				t.Fatal(err)
			}
			relocate(t, h, s.(*containerStep))
		}
		if err := s.Apply(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if c.before && !c.since {
			if err := os.Remove(h.Path(facts.GateRules)); err != nil {
				t.Fatal(err)
			}
		}
		engine.Answer("<html>502 Bad Gateway")
		err := s.(step.Undoer).Undo(t.Context(), h)
		if back := inspect(t, p.Name).ID == old; back != shut || (err == nil) != shut {
			t.Errorf("closed before and since: %v; it is back: %v, %v", c, back, err)
		}
	}
}

// relocate gives a step's password file a place below the machine's root.
func relocate(t *testing.T, h *step.Machine, c *containerStep) {
	t.Helper()
	text, err := os.ReadFile(c.LastLook.Engine.PasswordFile)
	if err == nil {
		file := h.Path(c.LastLook.Engine.PasswordFile)
		err = errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A recorder that waits for its stream may wait for ever; a way back does not wait with it.
func TestAWayBackDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	h, engine, s, _, _ := recording(t)
	if err := s.Apply(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	engine.Record("lobby", "Waiting for stream")
	began := time.Now()
	h.Now = func() time.Time { return began.Add(1000 * time.Since(began)) }
	err := s.(step.Undoer).Undo(t.Context(), h)
	if !errors.Is(err, step.ErrNotDrained) || !strings.Contains(err.Error(), "lobby") {
		t.Error(err)
	}
}

// What an earlier run had set aside and somebody started again may record, too.
func TestWhatWasSetAsideAndRecordsIsNotStopped(t *testing.T) {
	t.Parallel()
	h, engine, s, p, old := recording(t)
	docker := dockerOf(t, engineMachine(nil))
	if err := docker.ContainerRename(t.Context(), old, p.Name+"-old"); err != nil {
		t.Fatal(err)
	}
	engine.Record("lobby", "Recording in Progress")
	if err := s.Apply(t.Context(), h); !errors.Is(err, step.ErrNotDrained) {
		t.Errorf("%v", err)
	}
	if now := inspect(t, old); now.State.Status != container.StateRunning {
		t.Errorf("it is %s", now.State.Status)
	}
}
