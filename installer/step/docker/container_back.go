package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
)

// former is what served before a replacement that may be taken back.
type former struct {
	ID string `json:"id"` // of the container; empty: there was none
	// Restart is its restart policy, which it loses when it is set aside.
	Restart container.RestartPolicy `json:"restart"`
	Running bool                    `json:"running"`
	// Shut says that the host's gate was closed when this was noted: what is put in its place
	// admits nobody before the transaction is confirmed.
	Shut bool `json:"shut,omitempty"`
}

const formerFile = "former.json"

// keepFormer notes what serves before the first change. What an earlier, cut-off
// execution noted stays.
func (c *containerStep) keepFormer(h *step.Machine, s sight) error {
	if h.Keep == "" {
		return nil
	}
	if noted, err := durable.IsThere(filepath.Join(h.Keep, formerFile)); noted || err != nil {
		return err
	}
	var was former
	switch {
	case s.old != nil: // of a run that ended in quarantine: what is there now never served
		was = former{ID: s.old.ID, Restart: c.restart, Running: true}
	case s.current != nil:
		was = former{ID: s.current.ID, Restart: s.current.HostConfig.RestartPolicy, Running: s.current.State.Running}
	}
	shut, err := gateIsShut(h)
	if err != nil {
		return fmt.Errorf("noting the former container of %s: %w", c.Name, err)
	}
	was.Shut = shut
	text, err := json.Marshal(was)
	if err != nil {
		return fmt.Errorf("noting the former container of %s: %w", c.Name, err)
	}
	if err := durable.MkdirAll(h.Keep, 0o700); err != nil {
		return fmt.Errorf("noting the former container of %s: %w", c.Name, err)
	}
	return durable.WriteFile(filepath.Join(h.Keep, formerFile), text, 0o600)
}

// gateIsShut says whether the host's gate for new sessions is closed (updater/drain writes the
// file before it closes it, and removes it after it has opened it).
func gateIsShut(h *step.Machine) (bool, error) {
	_, err := os.Lstat(h.Path(facts.GateRules))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// readFormer is what was noted; nil: nothing.
func readFormer(h *step.Machine) (*former, error) {
	text, err := os.ReadFile(filepath.Join(h.Keep, formerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading which container was before: %w", err)
	}
	var was former
	if err := json.Unmarshal(text, &was); err != nil {
		return nil, fmt.Errorf("reading which container was before: %w", err)
	}
	return &was, nil
}

// removeNew takes the new container away, not before what it records has ended.
func (c *containerStep) removeNew(ctx context.Context, h *step.Machine, engine *client.Client, current *container.InspectResponse, was *former) error {
	if current.State.Running {
		if err := c.awaitQuiet(ctx, h, was); err != nil {
			return err
		}
	}
	if err := c.stopCleanly(ctx, engine, current); err != nil {
		return err
	}
	if err := engine.ContainerRemove(ctx, current.ID, container.RemoveOptions{Force: true}); err != nil {
		return fmt.Errorf("removing the new container %s: %w", c.Name, err)
	}
	return nil
}

// revive gives the former container its name, its restart policy and its life back, and
// waits until it serves.
func (c *containerStep) revive(ctx context.Context, engine *client.Client, was *former) error {
	found, err := engine.ContainerInspect(ctx, was.ID)
	if cerrdefs.IsNotFound(err) {
		return fmt.Errorf("bringing back container %s: the engine has it no more", c.Name)
	}
	if err != nil {
		return fmt.Errorf("asking the engine for the former container of %s: %w", c.Name, err)
	}
	if found.Name != "/"+c.Name {
		if err := engine.ContainerRename(ctx, was.ID, c.Name); err != nil {
			return fmt.Errorf("renaming the former container back to %s: %w", c.Name, err)
		}
	}
	if found.HostConfig.RestartPolicy != was.Restart {
		if _, err := engine.ContainerUpdate(ctx, was.ID, container.UpdateConfig{RestartPolicy: was.Restart}); err != nil {
			return fmt.Errorf("giving container %s its restart policy back: %w", c.Name, err)
		}
	}
	if !was.Running {
		return nil
	}
	if !found.State.Running {
		if err := engine.ContainerStart(ctx, was.ID, container.StartOptions{}); err != nil {
			return c.explain(ctx, engine, "starting the former container", err)
		}
	}
	return c.settle(ctx, engine, c.Name, !found.State.Running || found.State.Restarting)
}

// Settle removes the container that was set aside: its successor is confirmed.
func (c *containerStep) Settle(ctx context.Context, h *step.Machine) error {
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("removing the former container of %s: %w", c.Name, err)
	}
	return c.removeOld(ctx, engine)
}
