// Package docker holds the steps about the Docker engine: its settings and service, its images,
// networks and containers, and the look at what serves from them. It stops nothing that records
// (LastLook); how the engine's packages come is apt's, and what runs in it is the plan's.
package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
)

// ImageDigests are the names one image has: an engine's image ID is the config digest with
// the classic store and the manifest or index digest with containerd's. Each is
// "sha256:<hex>"; Index may be empty.
type ImageDigests struct {
	Index    string `json:"index,omitempty"`
	Manifest string `json:"manifest"`
	Config   string `json:"config"`
}

// All lists the digests that are known, the classic store's first.
func (d ImageDigests) All() []string {
	return slices.DeleteFunc([]string{d.Config, d.Manifest, d.Index}, func(s string) bool { return s == "" })
}

// errNoImage says that the engine holds none of an image's digests.
var errNoImage = errors.New("the engine does not hold this image")

// findImage asks the engine for the image under each of its digests, and then for one that was loaded from a file
// and has only the config. RepoDigests is never consulted: it is empty for an image that was loaded or retagged. The
// answer's ID must be one of the digests, or it is another image.
func findImage(ctx context.Context, h *step.Machine, engine *client.Client, d ImageDigests) (image.InspectResponse, error) {
	for _, digest := range d.All() {
		found, err := inspectImage(ctx, engine, digest)
		if err != nil {
			return image.InspectResponse{}, err
		}
		if found != nil && slices.Contains(d.All(), found.ID) {
			return *found, nil
		}
	}
	id, err := loadedImage(ctx, h, engine, d)
	if err != nil {
		return image.InspectResponse{}, fmt.Errorf("looking for image %s: %w", d.Config, err)
	}
	if id != "" {
		found, err := inspectImage(ctx, engine, id)
		if err != nil {
			return image.InspectResponse{}, err
		}
		if found != nil {
			return *found, nil
		}
	}
	return image.InspectResponse{}, fmt.Errorf("looking for image %s: %w", d.Config, errNoImage)
}

// inspectImage is what the engine has by an ID; nil: it has nothing.
func inspectImage(ctx context.Context, engine *client.Client, id string) (*image.InspectResponse, error) {
	found, err := engine.ImageInspect(ctx, id)
	if cerrdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking the engine for image %s: %w", id, err)
	}
	return &found, nil
}

// noEngine reports whether err says that no engine answers: not installed yet, or stopped.
func noEngine(err error) bool { return client.IsErrConnectionFailed(err) }
