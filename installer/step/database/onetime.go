package database

import (
	"context"
	"errors"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
)

// OneTime is a container of the release that runs once.
type OneTime struct {
	docker.ContainerParams
}

func (o *OneTime) check() error {
	if o.Name == "" || o.Spec.Restart != "" && o.Spec.Restart != "no" {
		return errors.New(`checking a migration: its service needs the restart policy "no", since it runs once`)
	}
	return nil
}

func (o *OneTime) run(ctx context.Context, h *step.Machine, within time.Duration) error {
	return docker.RunOnce(ctx, h, o.ContainerParams, within)
}
