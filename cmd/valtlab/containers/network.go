package containers

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
)

// Network is a sealed network: its members reach each other and the controller,
// and nothing else.
type Network struct {
	Name   string
	Lab    string
	Home   string // the lab's state folder, which tells it from another one of its name
	Subnet netip.Prefix
	Bridge string // name of the bridge on the controller, 15 bytes at most
}

// HomeLabel is the network's label whose value is the lab's state folder.
const HomeLabel = Label + ".home"

// EnsureNetwork makes the network, or takes it as it is when it already fits. One
// of the same name that is another kind is an error: it is not the lab's to remove.
func (e *Engine) EnsureNetwork(ctx context.Context, n Network) error {
	found, err := e.api.NetworkInspect(ctx, n.Name, network.InspectOptions{})
	if err == nil {
		return n.fits(found)
	}
	if !errdefs.IsNotFound(err) {
		return fmt.Errorf("inspecting network %s: %w", n.Name, err)
	}
	_, err = e.api.NetworkCreate(ctx, n.Name, network.CreateOptions{
		Driver:   "bridge",
		Internal: true,
		Labels:   map[string]string{Label: n.Lab, HomeLabel: n.Home},
		Options:  map[string]string{"com.docker.network.bridge.name": n.Bridge},
		IPAM:     &network.IPAM{Config: []network.IPAMConfig{{Subnet: n.Subnet.String(), Gateway: n.Subnet.Addr().Next().String()}}},
	})
	if err != nil {
		return fmt.Errorf("creating network %s: %w", n.Name, err)
	}
	return nil
}

func (n Network) fits(found network.Inspect) error {
	sameSubnet := len(found.IPAM.Config) == 1 && found.IPAM.Config[0].Subnet == n.Subnet.String()
	if found.Internal && sameSubnet && found.Labels[Label] == n.Lab {
		return nil
	}
	return fmt.Errorf("network %s exists and is not this lab's sealed %s: remove it, or give the lab another --name", n.Name, n.Subnet)
}

// Join adds a container to one more network at the given address; one that is there
// already stays.
func (e *Engine) Join(ctx context.Context, networkName, containerName string, address netip.Addr) error {
	info, err := e.api.ContainerInspect(ctx, containerName)
	if err != nil {
		return fmt.Errorf("inspecting container %s: %w", containerName, err)
	}
	if info.NetworkSettings != nil && info.NetworkSettings.Networks[networkName] != nil {
		return nil
	}
	settings := &network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: address.String()}}
	if err := e.api.NetworkConnect(ctx, networkName, containerName, settings); err != nil {
		return fmt.Errorf("joining %s to network %s: %w", containerName, networkName, err)
	}
	return nil
}

// Home is the state folder of the lab that a network is of; empty where there is no such
// network, or it does not say.
func (e *Engine) Home(ctx context.Context, name string) (string, error) {
	found, err := e.api.NetworkInspect(ctx, name, network.InspectOptions{})
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("inspecting network %s: %w", name, err)
	}
	return found.Labels[HomeLabel], nil
}

// RemoveNetwork removes a network that nothing is on; one that does not exist is
// no error.
func (e *Engine) RemoveNetwork(ctx context.Context, name string) error {
	if err := e.api.NetworkRemove(ctx, name); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("removing network %s: %w", name, err)
	}
	return nil
}
