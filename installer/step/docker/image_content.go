package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// content is what containerd keeps of images, by digest. An engine with the containerd image store calls an
// image by the digest of its manifest or index, and tells nobody which config that has: its own manifests are
// read for it. With the classic store an image's ID is the config's digest, and there is nothing to read.
type content struct {
	h                  *step.Machine
	address, namespace string // of containerd
}

const (
	// containerdStore is what an engine says of its driver where it has the containerd image store.
	containerdStore = "io.containerd.snapshotter.v1"
	// Where engines up to 26 find containerd, which say so only from then on (Info.Containerd).
	containerdSocket    = "/run/containerd/containerd.sock"
	containerdNamespace = "moby"
	// readWithin is what reading one manifest may take.
	readWithin = 30 * time.Second
	// maxIndexes is how deep an index may be inside others.
	maxIndexes = 3
)

// contentOf is where the engine keeps what its images are made of; nil: it has the classic store.
func contentOf(ctx context.Context, h *step.Machine, engine *client.Client) (*content, error) {
	info, err := engine.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the engine how it stores images: %w", err)
	}
	if !slices.Contains(info.DriverStatus, [2]string{"driver-type", containerdStore}) {
		return nil, nil
	}
	c := &content{h: h, address: containerdSocket, namespace: containerdNamespace}
	if told := info.Containerd; told != nil && told.Address != "" {
		c.address = told.Address
		if told.Namespaces.Containers != "" {
			c.namespace = told.Namespaces.Containers
		}
	}
	return c, nil
}

// errNoContent says that containerd does not have what a digest names.
var errNoContent = errors.New("containerd does not have it")

// read is a manifest or an index.
func (c *content) read(ctx context.Context, digest string) ([]byte, error) {
	out, err := c.h.Run.Run(ctx, step.Command{Within: readWithin,
		Argv: []string{"ctr", "--address", c.address, "--namespace", c.namespace, "content", "get", digest}})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &problem.Error{Kind: problem.Check, Doing: "reading", Object: digest, Err: err,
			Fix: "the engine has the containerd image store, which is read with ctr: install the package containerd.io whole, which brings it"}
	case err != nil && strings.Contains(string(out.Stderr), "not found"):
		return nil, fmt.Errorf("reading %s: %w", digest, errNoContent)
	case err != nil:
		return nil, fmt.Errorf("reading %s of containerd: %w", digest, err)
	}
	sum := sha256.Sum256(out.Stdout)
	if "sha256:"+hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("reading %s of containerd: what it has is something else", digest)
	}
	return out.Stdout, nil
}

// described is a manifest or an index (OCI image-spec, manifest.md and image-index.md).
type described struct {
	Config    struct{ Digest string }
	Manifests []struct {
		Digest   string
		Platform *struct{ Architecture, OS string }
	}
}

// configs are the digests of the configs that an image's ID leads to: that of its manifest, or with an index of
// each manifest for this machine that is there.
func (c *content) configs(ctx context.Context, id string) ([]string, error) {
	return c.below(ctx, id, maxIndexes)
}

func (c *content) below(ctx context.Context, id string, depth int) ([]string, error) {
	text, err := c.read(ctx, id)
	if err != nil {
		return nil, err
	}
	var d described
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("reading the manifest %s: %w", id, err)
	}
	if d.Config.Digest != "" || depth == 0 {
		return []string{d.Config.Digest}, nil
	}
	var all []string
	for _, m := range d.Manifests {
		if m.Platform != nil && (m.Platform.OS != "linux" || m.Platform.Architecture != runtime.GOARCH) {
			continue
		}
		switch found, err := c.below(ctx, m.Digest, depth-1); {
		case errors.Is(err, errNoContent): // an index may name what nobody brought
		case err != nil:
			return nil, err
		default:
			all = append(all, found...)
		}
	}
	return all, nil
}

// is says whether an image of the engine has the config of a wanted one. Content that is gone is no image.
func (c *content) is(ctx context.Context, id string, d ImageDigests) (bool, error) {
	configs, err := c.configs(ctx, id)
	if errors.Is(err, errNoContent) {
		return false, nil
	}
	return slices.Contains(configs, d.Config), err
}

// isImage says whether what an engine calls id is the wanted image: by one of its digests, or, with the containerd
// store, by its config. An image that was loaded from a file has a manifest that was written anew there.
func isImage(ctx context.Context, h *step.Machine, engine *client.Client, id string, d ImageDigests) (bool, error) {
	if slices.Contains(d.All(), id) {
		return true, nil
	}
	c, err := contentOf(ctx, h, engine)
	if c == nil || err != nil {
		return false, err
	}
	return c.is(ctx, id, d)
}

// loadedImage is the ID of an image that has the wanted config under another manifest; empty: there is none.
func loadedImage(ctx context.Context, h *step.Machine, engine *client.Client, d ImageDigests) (string, error) {
	c, err := contentOf(ctx, h, engine)
	if c == nil || err != nil {
		return "", err
	}
	all, err := engine.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("listing images: %w", err)
	}
	for _, i := range all {
		if namesAnother(i.RepoTags, d) {
			continue
		}
		if is, err := c.is(ctx, i.ID, d); is || err != nil {
			return i.ID, err
		}
	}
	return "", nil
}

// Held are the digests by which an engine's images can be told: their IDs, and with the containerd store those of
// their configs.
func Held(ctx context.Context, h *step.Machine, engine *client.Client) ([]string, error) {
	all, err := engine.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	c, err := contentOf(ctx, h, engine)
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(all))
	for _, i := range all {
		ids = append(ids, i.ID)
		if c == nil {
			continue
		}
		configs, err := c.configs(ctx, i.ID)
		if err != nil && !errors.Is(err, errNoContent) {
			return nil, err
		}
		ids = append(ids, configs...)
	}
	return ids, nil
}

// namesAnother says that an image has a tag of ours for another config: it was looked at when it got that.
func namesAnother(tags []string, d ImageDigests) bool {
	return slices.ContainsFunc(tags, func(tag string) bool {
		_, name, ours := strings.Cut(tag, ownTag)
		return ours && len(name) == tagDigits && ownTag+name != d.tag()
	})
}

// prove refuses an image whose config is not the one that the release names. With the classic store the ID is the
// config's digest, so that whatever is found by it is proven.
func (i *imageStep) prove(ctx context.Context, h *step.Machine, engine *client.Client, id string) error {
	if id == i.Digests.Config {
		return nil
	}
	c, err := contentOf(ctx, h, engine)
	if err != nil {
		return err
	}
	var has []string
	if c != nil {
		if has, err = c.configs(ctx, id); err != nil {
			return fmt.Errorf("verifying %s: %w", i.reference(), err)
		}
	}
	if slices.Contains(has, i.Digests.Config) {
		return nil
	}
	return i.another(fmt.Errorf("its config is %s and not %s", strings.Join(has, ", "), i.Digests.Config))
}

// another is the refusal of an image that is not the release's.
func (i *imageStep) another(err error) error {
	return &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: i.reference(), Err: err,
		Fix: "the registry's image is not the one the release was signed with; tell the vendor"}
}
