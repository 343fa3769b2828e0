package containers

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
)

// Freeze stops every process of a container where it stands, so that it writes nothing more.
func (e *Engine) Freeze(ctx context.Context, name string) error {
	if err := e.api.ContainerPause(ctx, name); err != nil {
		return fmt.Errorf("freezing container %s: %w", name, err)
	}
	return nil
}

// Kill ends a frozen or running container at once, whatever its restart policy says, and returns
// once nothing of it runs.
func (e *Engine) Kill(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ended, failed := e.api.ContainerWait(ctx, name, container.WaitConditionNotRunning)
	if err := e.api.ContainerKill(ctx, name, "KILL"); err != nil {
		return fmt.Errorf("killing container %s: %w", name, err)
	}
	select {
	case <-ended:
		return nil
	case err := <-failed:
		return fmt.Errorf("waiting for the end of container %s: %w", name, err)
	}
}
