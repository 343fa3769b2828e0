package containers

import (
	"context"
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// Container is what is known of one of the lab's containers.
type Container struct {
	Name    string
	Kind    string // Spec.Kind
	Image   string // as it was named at creation
	State   string // the engine's word: "running", "exited", "restarting" …
	Address netip.Addr
	Labels  map[string]string
}

// List returns the lab's containers by name, running or not.
func (e *Engine) List(ctx context.Context, lab string) ([]Container, error) {
	summaries, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: byLabel(lab)})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	var found []Container
	for _, s := range summaries {
		if len(s.Names) == 0 { // half removed: only its id is left
			s.Names = []string{s.ID}
		}
		c := Container{
			Name:  strings.TrimPrefix(s.Names[0], "/"),
			Kind:  s.Labels[KindLabel],
			Image: s.Image,
			State: s.State, Labels: s.Labels,
		}
		if s.NetworkSettings != nil {
			c.Address = firstAddress(s.NetworkSettings.Networks)
		}
		found = append(found, c)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	return found, nil
}

// firstAddress prefers the address that was asked for over one that is in use,
// since a stopped container has only the former.
func firstAddress(networks map[string]*network.EndpointSettings) netip.Addr {
	for _, n := range networks {
		text := n.IPAddress
		if n.IPAMConfig != nil && n.IPAMConfig.IPv4Address != "" {
			text = n.IPAMConfig.IPv4Address
		}
		if a, err := netip.ParseAddr(text); err == nil {
			return a
		}
	}
	return netip.Addr{}
}

// Find is one container by its name; its Name is empty when there is none.
func (e *Engine) Find(ctx context.Context, name string) (Container, error) {
	info, err := e.api.ContainerInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return Container{}, nil
	}
	if err != nil {
		return Container{}, fmt.Errorf("inspecting container %s: %w", name, err)
	}
	return Container{
		Name: name, Kind: info.Config.Labels[KindLabel], Image: info.Config.Image,
		State: info.State.Status, Labels: info.Config.Labels,
	}, nil
}

// PID is the controller's number of the container's first process, 0 when it does
// not run.
func (e *Engine) PID(ctx context.Context, name string) (int, error) {
	info, err := e.api.ContainerInspect(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("inspecting container %s: %w", name, err)
	}
	if info.State == nil || !info.State.Running {
		return 0, nil
	}
	return info.State.Pid, nil
}

// HasImage tells whether the engine's store holds the image.
func (e *Engine) HasImage(ctx context.Context, ref string) (bool, error) {
	_, err := e.api.ImageInspect(ctx, ref)
	switch {
	case err == nil:
		return true, nil
	case errdefs.IsNotFound(err):
		return false, nil
	}
	return false, fmt.Errorf("inspecting image %s: %w", ref, err)
}

// StartedAt is when the container's first process started, zero when it does not run.
func (e *Engine) StartedAt(ctx context.Context, name string) (time.Time, error) {
	info, err := e.api.ContainerInspect(ctx, name)
	if err != nil {
		return time.Time{}, fmt.Errorf("inspecting container %s: %w", name, err)
	}
	if info.State == nil || !info.State.Running || info.State.Restarting {
		return time.Time{}, nil
	}
	started, err := time.Parse(time.RFC3339Nano, info.State.StartedAt)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading when %s started: %w", name, err)
	}
	return started, nil
}
