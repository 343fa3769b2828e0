package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// Apply brings the container to what is wanted. Every stage starts from what the engine
// has, so that after a kill at any point the next Apply goes on from there:
//
//	current wanted, no old   nothing to do but settle
//	current wanted, old      settle, then remove old
//	current other,  no old   create next; set current aside: no restart policy, stop, rename
//	current other,  old      create next; remove current: an earlier replacement that never settled
//	no current               create next, unless that is done; give it the name; join, start, settle, then remove old
//
// Next is created while the old one serves, so that nobody waits for it. It is always made
// anew, since a run that was cut off may have left one of another release. Without "no
// restart policy" first, an engine restart between the stages would bring the old one back
// beside the new one: two databases on one data folder.
func (c *containerStep) Apply(ctx context.Context, h *step.Machine) error {
	if err := c.allowed(h); err != nil { // before anything is stopped for it
		return err
	}
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("changing container %s: %w", c.Name, err)
	}
	s, err := c.look(ctx, h, engine)
	if err != nil {
		return err
	}
	if err := c.keepFormer(h, s); err != nil {
		return err
	}
	if s.old != nil {
		if err := c.stopOld(ctx, h, engine, s.old); err != nil {
			return err
		}
	}
	if s.current == nil || c.replaceDiff(s) != "" {
		if err := c.replace(ctx, h, engine, s); err != nil {
			return err
		}
	}
	started, err := c.start(ctx, h, engine)
	if err != nil {
		return err
	}
	if err := c.settle(ctx, engine, c.Name, started); err != nil {
		return err
	}
	if h.Keep != "" {
		return nil // Settle removes the one set aside
	}
	return c.removeOld(ctx, engine)
}

// Undo brings the former container back. Like Apply it starts from what the engine has:
//
//	no former                    remove the new one, if any
//	former still has the name    give it back its restart policy and start it
//	former is set aside          remove the new one, rename, restart policy, start
func (c *containerStep) Undo(ctx context.Context, h *step.Machine) error {
	was, err := readFormer(h)
	if was == nil || err != nil {
		return err
	}
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("taking back container %s: %w", c.Name, err)
	}
	if err := c.removeNext(ctx, engine); err != nil {
		return err
	}
	current, err := inspectOurs(ctx, engine, c.Name)
	if err != nil {
		return err
	}
	if current != nil && current.ID != was.ID {
		if err := c.removeNew(ctx, h, engine, current, was); err != nil {
			return err
		}
	}
	if was.ID == "" {
		return nil
	}
	return c.revive(ctx, engine, was)
}

// replace puts a new container in the place of the current one, if there is one. Nothing
// that serves is stopped for what cannot be created.
func (c *containerStep) replace(ctx context.Context, h *step.Machine, engine *client.Client, s sight) error {
	if err := c.removeNext(ctx, engine); err != nil {
		return err
	}
	if err := c.create(ctx, h, engine, s.watch); err != nil {
		return err
	}
	if s.current != nil {
		if err := c.makeWay(ctx, h, engine, s); err != nil {
			tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyWithin)
			defer cancel()
			return errors.Join(err, c.removeNext(tidy, engine))
		}
	}
	if err := engine.ContainerRename(ctx, c.nextName(), c.Name); err != nil {
		return fmt.Errorf("renaming container %s to %s: %w", c.nextName(), c.Name, err)
	}
	return nil
}

// tidyWithin is how long removing a container may take that was not needed after all.
const tidyWithin = 10 * time.Second

// removeNext removes what a run that was cut off had created and not yet used.
func (c *containerStep) removeNext(ctx context.Context, engine *client.Client) error {
	next, err := inspectOurs(ctx, engine, c.nextName())
	if err != nil || next == nil {
		return err
	}
	return c.remove(ctx, engine, next.ID)
}

// stopOld stops what an earlier run had set aside and somebody, or an engine that restarted,
// has started again: it may record as well as any other.
func (c *containerStep) stopOld(ctx context.Context, h *step.Machine, engine *client.Client, old *container.InspectResponse) error {
	if old.State.Running {
		if err := c.lastLook(ctx, h); err != nil {
			return err
		}
	}
	return c.stopCleanly(ctx, engine, old)
}

// makeWay frees the name. What served before the first replacement is kept until one of
// them is healthy.
func (c *containerStep) makeWay(ctx context.Context, h *step.Machine, engine *client.Client, s sight) error {
	if s.current.State.Running {
		if err := c.lastLook(ctx, h); err != nil {
			return err
		}
	}
	if err := c.stopCleanly(ctx, engine, s.current); err != nil {
		return err
	}
	if s.old != nil {
		return c.remove(ctx, engine, s.current.ID)
	}
	if err := engine.ContainerRename(ctx, s.current.ID, c.oldName()); err != nil {
		return fmt.Errorf("renaming container %s to %s: %w", c.Name, c.oldName(), err)
	}
	return nil
}

// create makes the next container without starting it.
func (c *containerStep) create(ctx context.Context, h *step.Machine, engine *client.Client, watch map[string]string) error {
	id, err := c.imageID(ctx, h, engine)
	if err != nil {
		return err
	}
	config, err := c.config(id, watch)
	if err != nil {
		return err
	}
	host, err := c.hostConfig()
	if err != nil {
		return err
	}
	// An engine that restarts also starts what was only created, if its policy says so.
	host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyDisabled}
	if err := c.allowed(h); err != nil {
		return err
	}
	if _, err := engine.ContainerCreate(ctx, config, host, c.networking(), nil, c.nextName()); err != nil {
		return c.explain(ctx, engine, "creating container", err)
	}
	return nil
}

// start joins the networks that are missing, sets the restart policy and starts. It says
// whether it was started just now, by this or by an engine that started with the host.
func (c *containerStep) start(ctx context.Context, h *step.Machine, engine *client.Client) (started bool, err error) {
	current, err := engine.ContainerInspect(ctx, c.Name)
	if err != nil {
		return false, fmt.Errorf("asking the engine for container %s: %w", c.Name, err)
	}
	for _, n := range c.missingNetworks(&current) {
		if err := engine.NetworkConnect(ctx, n.Name, current.ID, n.engine()); err != nil {
			return false, fmt.Errorf("joining container %s to network %s: %w", c.Name, n.Name, err)
		}
	}
	if current.HostConfig.RestartPolicy != c.restart {
		if _, err := engine.ContainerUpdate(ctx, current.ID, container.UpdateConfig{RestartPolicy: c.restart}); err != nil {
			return false, fmt.Errorf("setting the restart policy of container %s: %w", c.Name, err)
		}
	}
	if current.State.Running {
		since, err := time.Parse(time.RFC3339Nano, current.State.StartedAt)
		return err == nil && h.Now().Sub(since) < c.within, nil
	}
	if err := c.allowed(h); err != nil { // the engine follows links anew
		return false, err
	}
	if err := engine.ContainerStart(ctx, current.ID, container.StartOptions{}); err != nil {
		return false, c.explain(ctx, engine, "starting container", err)
	}
	return true, nil
}

// settlePoll is how often a starting container is looked at.
const settlePoll = 250 * time.Millisecond

// settle waits until the container is healthy, or runs where it has no health check. One
// that was started just now and that the engine calls unhealthy is not waited for any
// longer, as with docker compose up --wait: its check has failed as often as it may.
func (c *containerStep) settle(ctx context.Context, engine *client.Client, name string, started bool) error {
	wait, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	for {
		current, err := engine.ContainerInspect(ctx, name)
		if err != nil {
			return fmt.Errorf("waiting for container %s: %w", name, err)
		}
		if state := current.State; state.Running && !state.Restarting && !unsettled(state) {
			return nil
		}
		if started && current.State.Restarting { // it need not be waited for where somebody is in its way
			if err := c.portTaken(ctx, engine, &current); err != nil {
				return err
			}
		}
		if why := gaveUp(&current, started); why != "" {
			return c.unhealthy(ctx, engine, &current, why)
		}
		select {
		case <-tick.C:
		case <-wait.Done():
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("waiting for container %s: %w", c.Name, err)
			}
			return c.unhealthy(ctx, engine, &current, "not healthy within "+c.within.String())
		}
	}
}

// gaveUp says why it is of no use to wait for a container; empty: it may come up yet.
func gaveUp(current *container.InspectResponse, started bool) string {
	state := current.State
	switch {
	case !state.Running && !state.Restarting && state.Status != container.StateCreated:
		return "it ended"
	case started && !state.Restarting && state.Health != nil && state.Health.Status == container.Unhealthy: // in this life
		return "its health check fails"
	}
	return ""
}

// lastAnswer caps what is quoted of a health check's output, in bytes.
const lastAnswer = 200

// unhealthy says how a container that did not come up was last seen, and who was in its way
// where that can be told.
func (c *containerStep) unhealthy(ctx context.Context, engine *client.Client, current *container.InspectResponse, why string) error {
	state := current.State
	if err := c.portTaken(ctx, engine, current); err != nil {
		return err
	}
	seen := fmt.Sprintf("%s; state %s", why, state.Status)
	if !state.Running {
		seen += fmt.Sprintf(", exit code %d", state.ExitCode)
	}
	if state.Error != "" {
		seen += ", " + state.Error
	}
	if state.Health != nil && len(state.Health.Log) > 0 {
		last := state.Health.Log[len(state.Health.Log)-1]
		seen += fmt.Sprintf(", its check answered %q (exit code %d)", clip(strings.TrimSpace(last.Output), lastAnswer), last.ExitCode)
	}
	return &problem.Error{Kind: problem.Failed, Doing: "waiting for container", Object: c.Name,
		Err: errors.New(seen), Fix: "read what it says: valtctl logs"}
}

// clip cuts text after n bytes.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}

// removeOld ends the replacement: its successor is healthy.
func (c *containerStep) removeOld(ctx context.Context, engine *client.Client) error {
	old, err := inspectOurs(ctx, engine, c.oldName())
	if err != nil || old == nil {
		return err
	}
	return c.remove(ctx, engine, old.ID)
}

// remove deletes a container and leaves its volumes.
func (c *containerStep) remove(ctx context.Context, engine *client.Client, id string) error {
	if err := engine.ContainerRemove(ctx, id, container.RemoveOptions{Force: true}); err != nil {
		return fmt.Errorf("removing a container of %s that is not needed: %w", c.Name, err)
	}
	return nil
}

// explain adds what to do to an engine's refusal.
func (c *containerStep) explain(ctx context.Context, engine *client.Client, doing string, err error) error {
	made := &problem.Error{Kind: problem.Failed, Doing: doing, Object: c.Name, Err: err}
	text := err.Error()
	switch {
	case strings.Contains(text, "port is already allocated"), strings.Contains(text, "address already in use"):
		made.Fix = portFix
		if held := holders(ctx, engine, takenPorts(text)); len(held) > 0 {
			made.Err = fmt.Errorf("%s: %w", strings.Join(held, ", "), err)
		}
	case strings.Contains(text, "bind source path does not exist"):
		made.Fix = "that file or folder of the host is missing; a step before this one should have made it, so run the command again"
	case strings.Contains(text, "no space left on device"):
		made.Fix = "free space on the file system of the engine (docker info: Docker Root Dir), then run the command again"
	case strings.Contains(text, "error gathering device information"):
		made.Fix = "the device is not plugged in; plug it in, then run the command again"
	}
	return made
}
