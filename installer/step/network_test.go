package step

import (
	"context"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
)

// networkFor is a wanted network with a name of this test alone. It must be asked for before
// the container that is put in it: clean-ups run backwards.
func networkFor(t *testing.T, network string) NetworkParams {
	t.Helper()
	own := "valt-step-test-" + strings.ToLower(t.Name()) + "_" + network
	engine := dockerOf(t, engineMachine(nil))
	t.Cleanup(func() {
		if err := engine.NetworkRemove(context.WithoutCancel(t.Context()), own); err != nil && !cerrdefs.IsNotFound(err) {
			t.Errorf("removing the test's network: %v", err)
		}
	})
	return NetworkParams{Name: own, Site: "st-marys", Project: "valt", Network: network}
}

func TestNetworkIsMadeAndChangedWhileEmpty(t *testing.T) {
	h := engineMachine(nil)
	p := networkFor(t, "default")
	settles(t, makeStep(t, NetworkKind(), p), h)
	p.Internal, p.Subnet = true, "10.213.77.0/28"
	found := settles(t, makeStep(t, NetworkKind(), p), h)
	if !strings.Contains(found.Diff, "+ network "+p.Name+" bridge internal 10.213.77.0/28") {
		t.Error(found.Diff)
	}
	got, err := dockerOf(t, h).NetworkInspect(t.Context(), p.Name, network.InspectOptions{})
	if err != nil || got.Labels["com.docker.compose.network"] != "default" {
		t.Errorf("labels %v, %v", got.Labels, err)
	}
}

func TestNetworkInUseIsNotTornDown(t *testing.T) {
	h := engineMachine(nil)
	n := networkFor(t, "default")
	settles(t, makeStep(t, NetworkKind(), n), h)
	p := containerFor(t, load(t, probeImage(t, "")))
	p.Spec.NetworkMode, p.Spec.Networks = "", []ContainerNetwork{{Name: n.Name}}
	settles(t, makeStep(t, ContainerKind(), p), h)
	n.Internal = true
	if err := makeStep(t, NetworkKind(), n).Apply(t.Context(), h); err == nil || !strings.Contains(err.Error(), "1 containers are in it") {
		t.Error(err)
	}
}

func TestNetworkOfOthersIsLeftAlone(t *testing.T) {
	h := engineMachine(nil)
	p := networkFor(t, "default")
	if _, err := dockerOf(t, h).NetworkCreate(t.Context(), p.Name, network.CreateOptions{Driver: "bridge"}); err != nil {
		t.Fatal(err)
	}
	if err := makeStep(t, NetworkKind(), p).Apply(t.Context(), h); err == nil || !strings.Contains(err.Error(), "not made by valtctl") {
		t.Error(err)
	}
}
