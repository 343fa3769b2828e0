package docker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/network"

	"ipivs.com/valtctl/installer/step/steptest"
)

// networkFor is a wanted network with a name of this test alone. It must be asked for before
// the container that is put in it: clean-ups run backwards.
func networkFor(t *testing.T, network string) NetworkParams {
	t.Helper()
	own := ownName(t)
	removeNetworks(t, own)
	return NetworkParams{Name: own + "_" + network, Site: "st-marys", Project: own, Network: network}
}

func TestNetworkIsMadeAndChangedWhileEmpty(t *testing.T) {
	h := engineMachine(nil)
	p := networkFor(t, "default")
	steptest.Settles(t, steptest.MakeStep(t, NetworkKind(), p), h)
	// Drawn: a subnet that another run has at the same time is refused.
	p.Internal, p.Subnet = true, fmt.Sprintf("10.213.%d.%d/28", rand.IntN(256), 16*rand.IntN(16))
	found := steptest.Settles(t, steptest.MakeStep(t, NetworkKind(), p), h)
	if !strings.Contains(found.Diff, "+ network "+p.Name+" bridge internal "+p.Subnet) {
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
	steptest.Settles(t, steptest.MakeStep(t, NetworkKind(), n), h)
	p := containerFor(t, load(t, probeImage(t, "")))
	p.Spec.NetworkMode, p.Spec.Networks = "", []ContainerNetwork{{Name: n.Name}}
	steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
	n.Internal = true
	if err := steptest.MakeStep(t, NetworkKind(), n).Apply(t.Context(), h); err == nil || !strings.Contains(err.Error(), "1 containers are in it") {
		t.Error(err)
	}
}

func TestNetworkOfOthersIsLeftAlone(t *testing.T) {
	h := engineMachine(nil)
	p := networkFor(t, "default")
	made, err := dockerOf(t, h).NetworkCreate(t.Context(), p.Name, network.CreateOptions{Driver: "bridge"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dockerOf(t, h).NetworkRemove(context.WithoutCancel(t.Context()), made.ID); err != nil {
			t.Errorf("removing the test's network: %v", err)
		}
	})
	if err := steptest.MakeStep(t, NetworkKind(), p).Apply(t.Context(), h); err == nil || !strings.Contains(err.Error(), "not made by valtctl") {
		t.Error(err)
	}
}
