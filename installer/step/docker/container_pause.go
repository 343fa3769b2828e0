package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// Paused is a container that was, or is to be, stopped for a while, and how it served before.
type Paused struct {
	Name    string                  `json:"name"`
	ID      string                  `json:"id"`
	Image   string                  `json:"image"` // the engine's ID
	Restart container.RestartPolicy `json:"restart"`
	Running bool                    `json:"running"`
}

// LookAt is a container of ours by its name, nil where there is none.
func LookAt(ctx context.Context, h *step.Machine, name string) (*Paused, error) {
	engine, err := h.Docker()
	if err != nil {
		return nil, fmt.Errorf("looking at container %s: %w", name, err)
	}
	found, err := inspectOurs(ctx, engine, name)
	if err != nil || found == nil {
		return nil, err
	}
	return &Paused{Name: name, ID: found.ID, Image: found.Image, Restart: found.HostConfig.RestartPolicy, Running: found.State.Running}, nil
}

// step is the container as its step sees it, as far as stopping and starting go.
func (p Paused) step() *containerStep {
	return &containerStep{ContainerParams: ContainerParams{Name: p.Name, Disrupts: step.Container}, within: defaultWithin, least: leastForData}
}

// Stop stops it without a restart policy, in its own time, and sees to it that one which keeps data came to its own
// end (stopCleanly). One that is gone or stopped is left.
func (p Paused) Stop(ctx context.Context, h *step.Machine) error {
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("stopping container %s: %w", p.Name, err)
	}
	now, err := inspectOurs(ctx, engine, p.Name)
	if err != nil || now == nil {
		return err
	}
	return p.step().stopCleanly(ctx, engine, now)
}

// Revive gives it its restart policy back, starts it where it ran, and waits until it serves.
func (p Paused) Revive(ctx context.Context, h *step.Machine) error {
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("starting container %s: %w", p.Name, err)
	}
	return p.step().revive(ctx, engine, &former{ID: p.ID, Restart: p.Restart, Running: p.Running})
}

// onceSaid caps what is kept of what a container that runs once says, in bytes.
const onceSaid = 16 << 10

// RunOnce makes a container that does one thing, waits for its end, and takes it away. Another exit
// code than 0 is an error with what it said last.
func RunOnce(ctx context.Context, h *step.Machine, params ContainerParams, within time.Duration) error {
	c, err := newContainer(params)
	if err != nil {
		return err
	}
	if err := c.allowed(h); err != nil {
		return err
	}
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("running container %s: %w", c.Name, err)
	}
	if err := c.removeNext(ctx, engine); err != nil {
		return err
	}
	if err := c.create(ctx, h, engine, nil); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	code, said, err := c.toItsEnd(limited, engine)
	tidy, end := context.WithTimeout(context.WithoutCancel(ctx), tidyWithin)
	defer end()
	err = errors.Join(err, c.removeNext(tidy, engine))
	if err != nil {
		return fmt.Errorf("running container %s: %w", c.Name, err)
	}
	if code != 0 {
		return &problem.Error{Kind: problem.Failed, Doing: "running container", Object: c.Name, Err: fmt.Errorf("it ended with exit code %d: %s", code, said),
			Fix: "what it says is the release's own; tell its vendor"}
	}
	return nil
}

// toItsEnd starts what was created and waits.
func (c *containerStep) toItsEnd(ctx context.Context, engine *client.Client) (code int64, said string, err error) {
	if err := engine.ContainerStart(ctx, c.nextName(), container.StartOptions{}); err != nil {
		return 0, "", c.explain(ctx, engine, "starting container", err)
	}
	for {
		now, err := engine.ContainerInspect(ctx, c.nextName())
		if err != nil {
			return 0, "", fmt.Errorf("waiting for its end: %w", err)
		}
		if !now.State.Running {
			code = int64(now.State.ExitCode)
			break
		}
		select {
		case <-ctx.Done():
			return 0, "", fmt.Errorf("waiting for its end: %w", context.Cause(ctx))
		case <-time.After(settlePoll):
		}
	}
	log, err := engine.ContainerLogs(ctx, c.nextName(), container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "20"})
	if err != nil {
		return code, "", fmt.Errorf("reading what it said: %w", err)
	}
	defer log.Close()
	var text bytes.Buffer
	err = CopyLog(&text, io.LimitReader(log, onceSaid))
	if err != nil && text.Len() == 0 {
		return code, "", err
	}
	return code, string(bytes.TrimSpace(text.Bytes())), nil
}
