package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// ranFile is, in a step's folder, what ran before the engine was touched.
const ranFile = "ran.json"

// ran is a container that ran.
type ran struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Healthy bool   `json:"healthy,omitempty"`
}

// ComeBackWithin is how long the engine and its containers may take to be back.
const ComeBackWithin = 3 * time.Minute

// KeepingContainers changes something of the engine and wants every container back that
// ran before, of ours and of others: live-restore (or the restart policy) promises it, and
// this looks. A transaction that was cut off in between still knows what ran.
func KeepingContainers(ctx context.Context, h *step.Machine, within time.Duration, change func() error) error {
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("asking the engine what runs: %w", err)
	}
	before, err := whatRan(ctx, h, engine)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	return awaitContainers(ctx, h, engine, before, within)
}

// whatRan is what runs now, or what was noted before the first try.
func whatRan(ctx context.Context, h *step.Machine, engine *client.Client) ([]ran, error) {
	note := filepath.Join(h.Keep, ranFile)
	if h.Keep != "" {
		_, err := durable.IsThere(note)
		text, readErr := step.ReadIfThere(note)
		if err := errors.Join(err, readErr); err != nil {
			return nil, fmt.Errorf("reading which containers ran: %w", err)
		}
		var before []ran
		if text != nil && json.Unmarshal(text, &before) == nil {
			return before, nil
		}
	}
	list, err := engine.ContainerList(ctx, container.ListOptions{})
	if client.IsErrConnectionFailed(err) {
		return nil, nil // there is no engine yet, or it is down
	}
	if err != nil {
		return nil, fmt.Errorf("asking the engine what runs: %w", err)
	}
	before := []ran{}
	for _, c := range list {
		is, err := engine.ContainerInspect(ctx, c.ID)
		if err != nil {
			return nil, fmt.Errorf("asking the engine what runs: %w", err)
		}
		before = append(before, ran{ID: is.ID, Name: is.Name, Healthy: is.State.Health != nil && is.State.Health.Status == container.Healthy})
	}
	if h.Keep == "" {
		return before, nil
	}
	text, err := json.Marshal(before)
	if err != nil {
		return nil, fmt.Errorf("noting which containers ran: %w", err)
	}
	if err := durable.MkdirAll(h.Keep, 0o700); err != nil {
		return nil, fmt.Errorf("noting which containers ran: %w", err)
	}
	return before, durable.WriteFile(note, text, 0o600)
}

// awaitContainers waits until all of them run as before.
func awaitContainers(ctx context.Context, h *step.Machine, engine *client.Client, before []ran, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		missing := notBack(ctx, engine, before)
		if missing == nil {
			return nil
		}
		h.Report(step.Progress{Text: "waiting for the containers that ran before"})
		if err := sleep.For(ctx, time.Second); err != nil {
			return &problem.Error{Kind: problem.Failed, Doing: "changing", Object: "the Docker engine",
				Err: fmt.Errorf("after %s not everything is back that ran before: %w", within, missing), Fix: "see why with: docker ps -a; docker logs; journalctl -u docker"}
		}
	}
}

// notBack says what does not run as it did.
func notBack(ctx context.Context, engine *client.Client, before []ran) error {
	var errs []error
	for _, was := range before {
		is, err := engine.ContainerInspect(ctx, was.ID)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("container %s: %w", was.Name, err))
		case !is.State.Running:
			errs = append(errs, fmt.Errorf("container %s is %s", was.Name, is.State.Status))
		case was.Healthy && (is.State.Health == nil || is.State.Health.Status != container.Healthy):
			errs = append(errs, fmt.Errorf("container %s was healthy and is not", was.Name))
		}
	}
	return errors.Join(errs...)
}
