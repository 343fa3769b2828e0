package docker

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
)

// started is a running container of the test.
func started(t *testing.T) (p ContainerParams, h *step.Machine) {
	t.Helper()
	p = containerFor(t, load(t, probeImage(t, "one")))
	h = engineMachine(nil)
	throughOwnEngine(t, h, p.Project)
	h.Keep = filepath.Join(t.TempDir(), "keep")
	if err := steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil)); err != nil {
		t.Fatal(err)
	}
	return p, h
}

func TestAChangeOfTheEngineWantsEveryContainerBack(t *testing.T) {
	p, h := started(t)
	engine := dockerOf(t, h)
	now := 0
	err := KeepingContainers(t.Context(), h, 500*time.Millisecond, func() error {
		return engine.ContainerStop(t.Context(), p.Name, container.StopOptions{Timeout: &now})
	})
	if err == nil || !strings.Contains(err.Error(), p.Name) {
		t.Fatalf("a container that stays away is not missed: %v", err)
	}
	// Cut off there, the next try still knows that it ran.
	err = KeepingContainers(t.Context(), h, 500*time.Millisecond, func() error { return nil })
	if err == nil || !strings.Contains(err.Error(), p.Name) {
		t.Errorf("after a cut it is not missed: %v", err)
	}
	err = KeepingContainers(t.Context(), h, 10*time.Minute, func() error {
		return engine.ContainerStart(t.Context(), p.Name, container.StartOptions{})
	})
	if err != nil {
		t.Errorf("it is back: %v", err)
	}
}

func TestAChangeOfTheEngineThatFailsSaysSo(t *testing.T) {
	_, h := started(t)
	failed := errors.New("no such package")
	if err := KeepingContainers(t.Context(), h, time.Minute, func() error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
}
