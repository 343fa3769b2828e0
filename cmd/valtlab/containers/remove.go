package containers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/repos/sleep"
)

// Remove removes a container with its anonymous volumes, running or not. A
// container that does not exist is no error. The engine answers "removal in
// progress" where an earlier removal was cut off or is slow, so it is asked for two minutes.
func (e *Engine) Remove(ctx context.Context, name string) error {
	var err error
	for range 480 {
		err = e.api.ContainerRemove(ctx, name, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		if !errdefs.IsConflict(err) && !strings.Contains(err.Error(), "in progress") {
			break
		}
		if waitErr := sleep.For(ctx, 250*time.Millisecond); waitErr != nil {
			return waitErr
		}
	}
	return fmt.Errorf("removing container %s: %w", name, err)
}

// RemoveVolume removes a named volume; one that does not exist is no error.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	if err := e.api.VolumeRemove(ctx, name, true); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("removing volume %s: %w", name, err)
	}
	return nil
}

// RemoveLab removes every container, network and volume that carries the lab's
// label, whatever state it is in, and says how many containers there were.
func (e *Engine) RemoveLab(ctx context.Context, lab string) (int, error) {
	found, err := e.List(ctx, lab)
	if err != nil {
		return 0, err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, c := range found {
		group.Go(func() error { return e.Remove(groupCtx, c.Name) })
	}
	if err := group.Wait(); err != nil {
		return len(found), err
	}
	return len(found), errors.Join(e.removeVolumes(ctx, lab), e.removeNetworks(ctx, lab))
}

func (e *Engine) removeVolumes(ctx context.Context, lab string) error {
	volumes, err := e.api.VolumeList(ctx, volume.ListOptions{Filters: byLabel(lab)})
	if err != nil {
		return fmt.Errorf("listing volumes: %w", err)
	}
	var errs []error
	for _, v := range volumes.Volumes {
		errs = append(errs, e.RemoveVolume(ctx, v.Name))
	}
	return errors.Join(errs...)
}

func (e *Engine) removeNetworks(ctx context.Context, lab string) error {
	networks, err := e.api.NetworkList(ctx, network.ListOptions{Filters: byLabel(lab)})
	if err != nil {
		return fmt.Errorf("listing networks: %w", err)
	}
	var errs []error
	for _, n := range networks {
		if err := e.api.NetworkRemove(ctx, n.ID); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("removing network %s: %w", n.Name, err))
		}
	}
	return errors.Join(errs...)
}

func byLabel(lab string) filters.Args {
	return filters.NewArgs(filters.Arg("label", Label+"="+lab))
}

// RemoveImages removes images by a pattern of their names ("valtlab/*").
func (e *Engine) RemoveImages(ctx context.Context, pattern string) error {
	images, err := e.api.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", pattern))})
	if err != nil {
		return fmt.Errorf("listing images: %w", err)
	}
	var errs []error
	for _, i := range images {
		if _, err := e.api.ImageRemove(ctx, i.ID, image.RemoveOptions{Force: true}); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("removing image %s: %w", i.ID, err))
		}
	}
	return errors.Join(errs...)
}
