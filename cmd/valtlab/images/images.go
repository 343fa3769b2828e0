package images

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

//go:embed files
var files embed.FS

// Small is a release that differs from SmallFrom in one layer of one image.
const (
	Small     = "6.4.4"
	SmallFrom = "6.4.1"
)

// smallMore is how many bytes the layer of Small has more than others: enough that what
// describes it does not outweigh it, as in a real release.
const smallMore = 6 << 20

// Prefix is before every image's name.
const Prefix = "docker.ipivs.com/valt/"

// Image is one image of one release.
type Image struct {
	Repository string // docker.ipivs.com/valt/web
	v1.Image
}

// Set is all that was built.
type Set struct {
	releases map[string][]Image // by version
	camera   []byte
}

// Of lists a release's images by name.
func (s *Set) Of(version string) []Image { return s.releases[version] }

// Releases are the images of every release, by its version.
func (s *Set) Releases() map[string][]Image { return maps.Clone(s.releases) }

// Build makes the images of the versions. cache is a folder that outlives the lab; root
// is asked only for what it does not hold.
func Build(ctx context.Context, cache string, root RootWriter, versions ...string) (*Set, error) {
	programs, err := buildPrograms(ctx)
	if err != nil {
		return nil, err
	}
	roots, err := base(ctx, cache, root)
	if err != nil {
		return nil, err
	}
	return assemble(roots, programs, versions)
}

// assemble puts the layers together.
func assemble(roots debian, p programs, versions []string) (*Set, error) {
	s := &Set{releases: map[string][]Image{}, camera: p.camera}
	entry, err := filesLayer([]containers.File{{Path: "/entry", Mode: 0o755, Content: p.app}})
	if err != nil {
		return nil, err
	}
	engine, err := filesLayer([]containers.File{{Path: "/engine", Mode: 0o755, Content: p.engine}})
	if err != nil {
		return nil, err
	}
	for _, version := range versions {
		for _, r := range recipes(version) {
			layers := []v1.Layer{engine}
			if r.name != "engine" {
				layers = []v1.Layer{roots[all], entry, roots[r.name]} // what all have comes first, so that it comes once
			}
			image, err := r.image(layers)
			if err != nil {
				return nil, fmt.Errorf("making image %s: %w", r.name, err)
			}
			s.releases[version] = append(s.releases[version], Image{Prefix + r.name, image})
		}
	}
	return s, nil
}

// recipe is what makes an image differ from the others.
type recipe struct {
	name    string
	command []string
	config  string            // folder of the image for the embedded files of its name
	extra   []containers.File // beside them
	labels  map[string]string
	move    map[string]string // embedded file → its own place
}

// recipes are the images of a version. The database's does not depend on it, so that an
// update leaves alone what has not changed; the engine's has the version in its labels, so
// that an update replaces it.
func recipes(version string) []recipe {
	stamp := containers.File{Path: "/srv/valt/version", Content: []byte(version + "\n")}
	label := map[string]string{"org.opencontainers.image.version": version}
	web, rest, restLabel := []containers.File{stamp}, stamp, label
	if version == Small {
		web = append(web, containers.File{Path: "/srv/valt/more", Content: filling(smallMore)})
		rest.Content, restLabel = []byte(SmallFrom+"\n"), map[string]string{"org.opencontainers.image.version": SmallFrom}
	}
	return []recipe{
		{name: "db", command: []string{"/entry", "db"}, config: "/etc/mysql"},
		{name: "engine", command: []string{"/engine"}, labels: restLabel},
		{name: "messaging", command: []string{"/entry", "messaging"}, config: "/srv/valt", extra: []containers.File{rest}, labels: restLabel},
		{name: "web", command: []string{"/entry", "web"}, config: "/etc/valt-web", extra: web, labels: label,
			move: map[string]string{"index.php": "/srv/valt/index.php", "health.php": "/srv/valt/health.php",
				"bookings.php": "/srv/valt/bookings.php", "schema.php": "/srv/valt/schema.php"}},
	}
}

// filling is content that no packing makes smaller, the same every time.
func filling(n int) []byte {
	text := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(text) // never fails (math/rand/v2)
	return text
}

// image adds the recipe's own layer and its configuration to the layers given.
func (r recipe) image(layers []v1.Layer) (v1.Image, error) {
	own, err := r.files()
	if err != nil {
		return nil, err
	}
	if len(own) > 0 {
		layer, err := filesLayer(own)
		if err != nil {
			return nil, err
		}
		layers = append(slices.Clone(layers), layer)
	}
	// As OCI's, which skopeo and others read from a bundle too.
	oci := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.AppendLayers(oci, layers...)
	if err != nil {
		return nil, fmt.Errorf("adding layers: %w", err)
	}
	labels := map[string]string{"com.ipivs.practice": "stand-in"}
	maps.Copy(labels, r.labels)
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config = v1.Config{Entrypoint: r.command, Labels: labels, WorkingDir: "/",
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	return image, nil
}

// files are the recipe's embedded files in their places, and its extra ones.
func (r recipe) files() ([]containers.File, error) {
	own := slices.Clone(r.extra)
	if r.config == "" {
		return own, nil
	}
	dir := path.Join("files", r.name)
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, fmt.Errorf("reading the image's files: %w", err)
	}
	for _, e := range entries {
		content, err := files.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the image's files: %w", err)
		}
		to := path.Join(r.config, e.Name())
		if moved, ok := r.move[e.Name()]; ok {
			to = moved
		}
		own = append(own, containers.File{Path: to, Content: content})
	}
	return own, nil
}
