package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release/allowed"
)

// NetworkParams is one of Docker's networks that the Compose files use.
type NetworkParams struct {
	Name     string `json:"name"` // "valt_default"
	Site     string `json:"site"`
	Project  string `json:"project"`
	Network  string `json:"network"`            // its name in the Compose file
	Internal bool   `json:"internal,omitempty"` // no way out
	Subnet   string `json:"subnet,omitempty"`   // CIDR; empty: from the engine's address pool
}

// KindNetwork names what NetworkKind makes.
const KindNetwork step.KindName = "network"

// NetworkKind makes bridge networks for containers.
func NetworkKind() step.Kind {
	return step.KindOf(KindNetwork, step.Reversible, func(p NetworkParams) (step.Step, error) { return &networkStep{p}, nil })
}

type networkStep struct{ NetworkParams }

// allowed judges the addresses that the release asks for.
func (n *networkStep) allowed() error {
	if n.Subnet == "" {
		return nil
	}
	return step.NotAllowed("network "+n.Name, allowed.Subnet(n.Subnet))
}

func (n *networkStep) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	if err := n.allowed(); err != nil {
		return step.Finding{}, err
	}
	engine, err := h.Docker()
	if err != nil {
		return step.Finding{}, fmt.Errorf("inspecting network %s: %w", n.Name, err)
	}
	found, err := engine.NetworkInspect(ctx, n.Name, network.InspectOptions{})
	if cerrdefs.IsNotFound(err) || noEngine(err) {
		return step.Finding{Change: true, Diff: "+ " + n.line() + "\n", Disrupts: step.Nothing}, nil
	}
	if err != nil {
		return step.Finding{}, fmt.Errorf("asking the engine for network %s: %w", n.Name, err)
	}
	was := n.was(found)
	if was == n.line() {
		return step.Finding{Disrupts: step.Nothing}, nil
	}
	return step.Finding{Change: true, Diff: "- " + was + "\n+ " + n.line() + "\n", Disrupts: step.Nothing}, nil
}

// Apply makes the network. One of ours that differs is replaced while nothing is in it; with
// containers inside nothing is torn from under them.
func (n *networkStep) Apply(ctx context.Context, h *step.Machine) error {
	if err := n.allowed(); err != nil {
		return err
	}
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("making network %s: %w", n.Name, err)
	}
	found, err := engine.NetworkInspect(ctx, n.Name, network.InspectOptions{})
	if err != nil && !cerrdefs.IsNotFound(err) {
		return fmt.Errorf("asking the engine for network %s: %w", n.Name, err)
	}
	if err == nil {
		if n.was(found) == n.line() {
			return nil
		}
		if err := n.mayRemove(found); err != nil {
			return err
		}
		if err := engine.NetworkRemove(ctx, found.ID); err != nil {
			return fmt.Errorf("removing the former network %s: %w", n.Name, err)
		}
	}
	if _, err := engine.NetworkCreate(ctx, n.Name, n.options()); err != nil {
		return n.explain(err)
	}
	return nil
}

// Undo leaves the network: containers of the release before may be in it.
func (n *networkStep) Undo(context.Context, *step.Machine) error { return nil }

func (n *networkStep) options() network.CreateOptions {
	made := network.CreateOptions{Driver: "bridge", Internal: n.Internal, Labels: map[string]string{
		"com.docker.compose.project": n.Project,
		"com.docker.compose.network": n.Network,
		"com.docker.compose.version": "2.0.0",
		LabelSite:                    n.Site,
	}}
	if n.Subnet != "" {
		made.IPAM = &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{Subnet: n.Subnet}}}
	}
	return made
}

// mayRemove refuses a network of others, or one in use.
func (n *networkStep) mayRemove(found network.Inspect) error {
	made := &problem.Error{Kind: problem.Failed, Doing: "replacing network", Object: n.Name}
	switch {
	case found.Labels[LabelSite] == "":
		made.Err = errors.New("a network of this name was not made by valtctl")
		made.Fix = "remove it (docker network rm " + n.Name + "), then run the command again"
	case len(found.Containers) > 0:
		made.Err = fmt.Errorf("%d containers are in it", len(found.Containers))
		made.Fix = "stop the host's containers in a maintenance window, then run the command again"
	default:
		return nil
	}
	return made
}

func (n *networkStep) explain(err error) error {
	made := &problem.Error{Kind: problem.Failed, Doing: "making network", Object: n.Name, Err: err}
	text := err.Error()
	if strings.Contains(text, "non-overlapping") || strings.Contains(text, "overlaps") || strings.Contains(text, "all predefined address pools") {
		made.Fix = "give network.docker_pool in the site file a range that nothing else here uses"
	}
	return made
}

// line is the wanted network in one line.
func (n *networkStep) line() string {
	return networkLine(n.Name, "bridge", n.Internal, n.Subnet) + " of site " + n.Site
}

// was is what is there in the same form. A subnet is compared only where one is wanted.
func (n *networkStep) was(found network.Inspect) string {
	subnet := ""
	if n.Subnet != "" && len(found.IPAM.Config) > 0 {
		subnet = found.IPAM.Config[0].Subnet
	}
	return networkLine(found.Name, found.Driver, found.Internal, subnet) + " of site " + found.Labels[LabelSite]
}

func networkLine(name, driver string, internal bool, subnet string) string {
	line := "network " + name + " " + driver
	if internal {
		line += " internal"
	}
	if subnet != "" {
		line += " " + subnet
	}
	return line
}
