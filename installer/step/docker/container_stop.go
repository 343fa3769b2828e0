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

// How long a container is given to stop before it is killed. What the Compose file says
// counts, but a container that keeps data is given the least time for it in any case: a
// database that is killed leaves what the next version of it may refuse to start on.
const (
	stopGrace     = 10 * time.Second // where nothing says another (docker stop(1))
	leastForData  = 2 * time.Minute
	secondTryFold = 3 // how many times as long after it was killed once
)

// grace is how long a container may take to stop.
func (c *containerStep) grace(which *container.InspectResponse) time.Duration {
	grace := stopGrace
	if which.Config != nil && which.Config.StopTimeout != nil {
		grace = time.Duration(*which.Config.StopTimeout) * time.Second
	}
	if c.keepsData(which) {
		grace = max(grace, c.least)
	}
	return grace
}

// keepsData says whether a container writes what outlives it and must be in order when it ends. A
// media engine's recordings are: it is stopped only when there are none under way.
func (c *containerStep) keepsData(which *container.InspectResponse) bool {
	if c.Disrupts == step.Engine {
		return false
	}
	for _, m := range which.Mounts {
		if m.RW && (m.Type == "volume" || m.Type == "bind") {
			return true
		}
	}
	return false
}

// stop stops a container for good: first its restart policy goes, then it.
func (c *containerStep) stop(ctx context.Context, engine *client.Client, which *container.InspectResponse, grace time.Duration) error {
	name := strings.TrimPrefix(which.Name, "/")
	off := container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}}
	if _, err := engine.ContainerUpdate(ctx, which.ID, off); err != nil {
		return fmt.Errorf("switching off the restart policy of container %s: %w", name, err)
	}
	seconds := int(grace / time.Second)
	if err := engine.ContainerStop(ctx, which.ID, container.StopOptions{Timeout: &seconds}); err != nil {
		return fmt.Errorf("stopping container %s: %w", name, err)
	}
	return nil
}

// stopCleanly stops a container and sees to it that one which keeps data came to its own end.
// One that was killed is started again, so that it brings its data in order, and stopped once
// more with more time. One that never served has nothing in order to lose.
func (c *containerStep) stopCleanly(ctx context.Context, engine *client.Client, which *container.InspectResponse) error {
	grace := c.grace(which)
	served := which.State.Running && !which.State.Restarting && !unsettled(which.State)
	if err := c.stop(ctx, engine, which, grace); err != nil {
		return err
	}
	if !served || !c.keepsData(which) {
		return nil
	}
	if killed, err := wasKilled(ctx, engine, which); !killed || err != nil {
		return err
	}
	if err := c.startAgain(ctx, engine, which); err != nil {
		return fmt.Errorf("after it was killed while it stopped: %w", err)
	}
	if err := c.stop(ctx, engine, which, secondTryFold*grace); err != nil {
		return err
	}
	if killed, err := wasKilled(ctx, engine, which); !killed || err != nil {
		return err
	}
	policy := container.UpdateConfig{RestartPolicy: which.HostConfig.RestartPolicy}
	_, err := engine.ContainerUpdate(ctx, which.ID, policy)
	return errors.Join(c.neverStops(which, secondTryFold*grace), err, c.startAgain(ctx, engine, which))
}

func (c *containerStep) neverStops(which *container.InspectResponse, within time.Duration) error {
	return &problem.Error{Kind: problem.Failed, Doing: "stopping container", Object: strings.TrimPrefix(which.Name, "/"),
		Err: fmt.Errorf("it did not come to its end within %s and was killed, twice; another version must not start on what a killed one left", within),
		Fix: "give it more time, stop_grace_period in the release's Compose file, or find out why it does not stop: valtctl logs"}
}

// startAgain starts a container that was stopped and waits until it serves.
func (c *containerStep) startAgain(ctx context.Context, engine *client.Client, which *container.InspectResponse) error {
	if err := engine.ContainerStart(ctx, which.ID, container.StartOptions{}); err != nil {
		return c.explain(ctx, engine, "starting again", err)
	}
	return c.settle(ctx, engine, which.ID, true)
}

// killedCode is the exit code of what was ended by SIGKILL: 128 and its number (bash(1),
// EXIT STATUS; the engine uses the same).
const killedCode = 137

// wasKilled says whether a container that was stopped did not come to its own end.
func wasKilled(ctx context.Context, engine *client.Client, which *container.InspectResponse) (bool, error) {
	now, err := engine.ContainerInspect(ctx, which.ID)
	if err != nil {
		return false, fmt.Errorf("asking the engine how container %s ended: %w", strings.TrimPrefix(which.Name, "/"), err)
	}
	if now.State.Running {
		return false, fmt.Errorf("stopping container %s: it runs still", strings.TrimPrefix(which.Name, "/"))
	}
	return now.State.ExitCode == killedCode, nil
}
