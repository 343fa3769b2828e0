package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/release/allowed"
	"ipivs.com/valtctl/repos/testneeds"
)

// engineMachine is this machine with its real engine.
func engineMachine(secrets map[string]string) *step.Machine {
	return &step.Machine{
		Run: engineRuns{steptest.RecordedRuns{}},
		Now: func() time.Time { return steptest.Noted },
		Secret: func(name string) ([]byte, error) {
			s, ok := secrets[name]
			if !ok {
				return nil, errors.New("no secret " + name)
			}
			return []byte(s), nil
		},
	}
}

// engineRuns lets every program succeed, and really runs what looks into the engine's own store.
type engineRuns struct{ steptest.RecordedRuns }

func (r engineRuns) Run(ctx context.Context, c step.Command) (step.Output, error) {
	if c.Argv[0] == "ctr" {
		return step.Exec{}.Run(ctx, c)
	}
	return r.RecordedRuns.Run(ctx, c)
}

func dockerOf(t *testing.T, h *step.Machine) *client.Client {
	t.Helper()
	testneeds.Of(t, testneeds.Engine)
	engine, err := h.Docker()
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

// probeProgram is the program of testdata/probe. Where these tests run without Go, on a practice server, it was
// built before.
func probeProgram() ([]byte, error) {
	if built := os.Getenv("VALTCTL_TEST_PROBE"); built != "" {
		return os.ReadFile(built)
	}
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "probe"), "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the probe: %w: %s", err, out)
	}
	return os.ReadFile(filepath.Join(dir, "probe"))
}

// probeLayer is a layer that holds the probe as /probe. It is this run's
// alone: an engine that has it from another run would not ask a registry for it.
var probeLayer = sync.OnceValues(func() (v1.Layer, error) {
	program, err := probeProgram()
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for name, text := range map[string][]byte{"probe": program, "test-run": []byte(testRun)} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil }
	return tarball.LayerFromOpener(opener, tarball.WithCompressedCaching) // every image has it
})

// probeImage is an image of this test alone; variant makes several of one test differ.
func probeImage(t *testing.T, variant string, volumes ...string) v1.Image {
	t.Helper()
	layer, err := probeLayer()
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	config := v1.Config{Entrypoint: []string{"/probe"}, Cmd: []string{"stay"}, Labels: map[string]string{"test": t.Name() + variant}}
	for _, v := range volumes {
		config.Volumes = map[string]struct{}{v: {}}
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{Architecture: "amd64", OS: "linux", Config: config, RootFS: rootFS(t, img)})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func rootFS(t *testing.T, img v1.Image) v1.RootFS {
	t.Helper()
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return file.RootFS
}

func digestsOf(t *testing.T, img v1.Image) ImageDigests {
	t.Helper()
	manifest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	return ImageDigests{Manifest: manifest.String(), Config: config.String()}
}

// load gives the engine an image as `docker load` does, so without RepoDigests, and takes
// it away in the end.
func load(t *testing.T, img v1.Image) ImageDigests {
	t.Helper()
	engine := dockerOf(t, engineMachine(nil))
	d := digestsOf(t, img)
	tag, err := name.NewTag(loadedTag(t, d))
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := tarball.Write(tag, img, &file); err != nil {
		t.Fatal(err)
	}
	reply, err := engine.ImageLoad(t.Context(), &file)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if _, err := io.Copy(io.Discard, reply.Body); err != nil {
		t.Fatal(err)
	}
	forget(t, d)
	return d
}

// loadedTag is the name under which a test's image is loaded, its alone: the containerd store forgets an image whose
// last name goes to another.
func loadedTag(t *testing.T, d ImageDigests) string {
	_, hex, _ := strings.Cut(d.Config, ":")
	return ownName(t) + ":load-" + hex[:12]
}

// idOf is what the engine calls an image.
func idOf(t *testing.T, d ImageDigests) string {
	t.Helper()
	h := engineMachine(nil)
	found, err := findImage(t.Context(), h, dockerOf(t, h), d)
	if err != nil {
		t.Fatal(err)
	}
	return found.ID
}

// forget removes an image when the test ends.
func forget(t *testing.T, d ImageDigests) {
	t.Helper()
	engine := dockerOf(t, engineMachine(nil))
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		found, err := findImage(ctx, engineMachine(nil), engine, d)
		if err == nil {
			_, err = engine.ImageRemove(ctx, found.ID, image.RemoveOptions{Force: true})
		}
		if err != nil && !errors.Is(err, errNoImage) && !cerrdefs.IsNotFound(err) {
			t.Errorf("removing the test's image: %v", err)
		}
	})
}

// containerFor is a wanted container with a name of this test alone; it and what is set
// aside for it go when the test ends.
func containerFor(t *testing.T, d ImageDigests) ContainerParams {
	t.Helper()
	own := ownName(t)
	removeContainers(t, own)
	return ContainerParams{
		Name: own, Site: "st-marys", Role: "app", Release: "6.4.1", Project: own, Service: "web",
		Compose: "/etc/valt/compose/compose.app.yaml", Image: d, Repository: "docker.ipivs.com/valt/web",
		Disrupts: step.Container, Within: "10m", Spec: ContainerSpec{Restart: "always", NetworkMode: "none"},
		// The site's own folder stands for whatever a test binds.
		Own: allowed.Site{Recordings: os.TempDir()},
	}
}

// inspect is a container by name, nil where there is none.
func inspect(t *testing.T, containerName string) *container.InspectResponse {
	t.Helper()
	found, err := dockerOf(t, engineMachine(nil)).ContainerInspect(t.Context(), containerName)
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &found
}

// ofProject lists the containers of a test by name, with their state.
func ofProject(t *testing.T, project string) map[string]string {
	t.Helper()
	list, err := dockerOf(t, engineMachine(nil)).ContainerList(t.Context(), container.ListOptions{
		All: true, Filters: ofOwn(project),
	})
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, c := range list {
		states[strings.TrimPrefix(c.Names[0], "/")] = c.State
	}
	return states
}

// cutEngine is a machine whose engine stops listening to us after so many changes: what a
// kill of this program at that point leaves behind.
func cutEngine(t *testing.T, changes int) *step.Machine {
	t.Helper()
	h := engineMachine(nil)
	var made atomic.Int64
	throughEngine(t, h, func(engine http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			change := r.Method != http.MethodGet && r.Method != http.MethodHead
			if n := made.Load(); n > int64(changes) || change && made.Add(1) > int64(changes) {
				panic(http.ErrAbortHandler)
			}
			engine.ServeHTTP(w, r)
		})
	})
	return h
}

// danglingImages asks for what `docker image prune` would remove.
func danglingImages() filters.Args { return filters.NewArgs(filters.Arg("dangling", "true")) }
