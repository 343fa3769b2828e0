package facts

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// imagesWithin is how long the engine may take to tell of its images.
const imagesWithin = 20 * time.Second

// Image is one image that the engine holds: its id, and the digests of its layers as they
// are unpacked (OCI image-spec, config.md: rootfs.diff_ids). With them one can tell what of
// another image would still have to be fetched.
type Image struct {
	ID     string   `json:"id"`
	Layers []string `json:"layers"`
}

// imageEngine is what is asked of the engine with Options.Full.
type imageEngine interface {
	ImageList(ctx context.Context, o image.ListOptions) ([]image.Summary, error)
	ImageInspect(ctx context.Context, id string, o ...client.ImageInspectOption) (image.InspectResponse, error)
}

// images lists what the engine holds; none where it does not answer.
func images(ctx context.Context, docker Engine) ([]Image, error) {
	engine, ok := docker.(imageEngine)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, imagesWithin)
	defer cancel()
	list, err := engine.ImageList(ctx, image.ListOptions{})
	if client.IsErrConnectionFailed(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking the Docker engine for its images: %w", err)
	}
	var all []Image
	for _, i := range list {
		is, err := engine.ImageInspect(ctx, i.ID)
		if err != nil {
			return nil, fmt.Errorf("asking the Docker engine for its images: %w", err)
		}
		all = append(all, Image{ID: is.ID, Layers: is.RootFS.Layers})
	}
	return all, nil
}

// maxStatus caps dpkg's status, in bytes: a full desktop has 10 MiB.
const maxStatus = 64 << 20

// dpkgStatus is dpkg's own list of what is installed, whole: apt solves with it.
func (h *host) dpkgStatus() string {
	content := h.read("/var/lib/dpkg/status")
	if len(content) > maxStatus {
		h.keep(fmt.Errorf("reading dpkg's status: it has more than %d bytes", maxStatus))
		return ""
	}
	return string(content)
}
