package bundler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/images"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// images adds every image of every release, but for what all hosts have that need it.
func (p *packing) images(ctx context.Context) error {
	left := map[string]bundle.Blob{}
	for _, m := range p.manifests {
		for _, name := range sorted(m.Images) {
			if err := p.image(ctx, m, name, left); err != nil {
				return err
			}
		}
	}
	for _, digest := range sorted(left) {
		if !p.has[digest] {
			p.Contents.Left = append(p.Contents.Left, left[digest])
		}
	}
	return nil
}

func (p *packing) image(ctx context.Context, m *release.Manifest, name string, left map[string]bundle.Blob) error {
	signed, ok := m.Images[name].Platforms[platform]
	if !ok {
		return fmt.Errorf("packing release %s: it has no image %s for %s", m.Version, name, platform)
	}
	repository := m.Images[name].Repository
	host, rest, _ := strings.Cut(repository, "/")
	r, err := images.Open(p.Site.Network.Endpoint(host).String()+"/"+rest, p.Site.Registry.Username, string(p.Password), p.HTTP)
	if err != nil {
		return err
	}
	image, err := r.Image(ctx, signed.Manifest)
	if err != nil {
		return err
	}
	if image.Config.Digest != signed.Config {
		return &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: repository, Err: errors.New("its config is not the one that the release names"), Fix: "tell the vendor"}
	}
	there := p.there(m, name, image)
	add := func(b images.Blob, leave bool) {
		listed := bundle.Blob{Digest: b.Digest, Size: b.Size, MediaType: b.MediaType}
		if leave {
			left[b.Digest] = listed
			return
		}
		if p.list(listed) {
			p.remote[b.Digest] = func(ctx context.Context, offset int64) (io.ReadCloser, error) {
				return r.Blob(ctx, b.Digest, b.Size, offset)
			}
		}
	}
	whole := there == len(image.Layers)+1
	add(image.Config, whole)
	for i, l := range image.Layers {
		add(l, i < there)
	}
	if !whole {
		p.inline[image.Manifest.Digest] = image.Raw
	}
	add(image.Manifest, whole)
	p.Contents.Images = append(p.Contents.Images, bundle.Image{Repository: repository, Release: m.Version, Platform: platform,
		Manifest: image.Manifest.Digest, Config: image.Config.Digest})
	return nil
}

// there is how many of an image's layers, from the lowest on, every host has that needs the
// image; one more than it has layers: the image itself.
func (p *packing) there(m *release.Manifest, name string, image *images.Image) int {
	signed := m.Images[name].Platforms[platform]
	most := len(image.Layers) + 1
	asked := false
	for _, f := range p.Have {
		if f.Engine == nil || f.Installed == nil {
			return 0
		}
		if !p.uses(f, m.Version, name, m.Images[name].Repository) {
			continue
		}
		asked = true
		most = min(most, Shared(f.Engine.Images, []string{signed.Config, signed.Manifest, signed.Index}, diffIDs(image)))
	}
	if !asked {
		return 0
	}
	return most
}

// uses says whether a host's roles have the image in their Compose files. What cannot be
// read is used: a host then lacks nothing that it needs.
func (p *packing) uses(f facts.Facts, version, name, repository string) bool {
	for _, role := range f.Installed.Roles {
		var compose struct {
			Services map[string]struct {
				Image string `yaml:"image"`
			} `yaml:"services"`
		}
		if err := yaml.Unmarshal(p.compose[version+"/"+role], &compose); err != nil {
			return true
		}
		for _, s := range compose.Services {
			if named, _, _ := strings.Cut(s.Image, "@"); named == name || named == repository {
				return true
			}
		}
	}
	return false
}

func diffIDs(image *images.Image) []string {
	var all []string
	for _, l := range image.Layers {
		all = append(all, l.DiffID)
	}
	return all
}

// Shared is how many of an image's layers, from the lowest on, an engine can take from the
// images that it has: it knows a layer by all that lies below it. One more than there are
// layers: it has the image itself, under one of its digests (an engine's image store decides under which).
func Shared(have []facts.Image, digests, layers []string) int {
	best := 0
	for _, h := range have {
		if h.ID != "" && slices.Contains(digests, h.ID) {
			return len(layers) + 1
		}
		n := 0
		for n < len(h.Layers) && n < len(layers) && h.Layers[n] == layers[n] {
			n++
		}
		best = max(best, n)
	}
	return best
}
