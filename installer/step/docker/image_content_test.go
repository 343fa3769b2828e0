package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// contentEngine answers as an engine with the containerd store does, and its runner as ctr: what the tests of this
// machine's own engine prove in either store, for machines whose engine has the classic one.
type contentEngine struct {
	images  []image.Summary
	content map[string][]byte
	noCtr   bool
}

func (e *contentEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch _, rest, _ := strings.Cut(r.URL.Path, "/v1.45"); {
	case rest == "/info":
		fmt.Fprint(w, `{"DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],"Containerd":{"Address":"/run/other.sock","Namespaces":{"Containers":"ours"}}}`)
	case rest == "/images/json":
		_ = json.NewEncoder(w).Encode(e.images)
	default:
		id := strings.TrimSuffix(strings.TrimPrefix(rest, "/images/"), "/json")
		for _, i := range e.images {
			if i.ID == id {
				_ = json.NewEncoder(w).Encode(image.InspectResponse{ID: id})
				return
			}
		}
		http.Error(w, `{"message":"no such image"}`, http.StatusNotFound)
	}
}

func (e *contentEngine) Run(_ context.Context, c step.Command) (step.Output, error) {
	if want := "ctr --address /run/other.sock --namespace ours content get "; e.noCtr || !strings.HasPrefix(strings.Join(c.Argv, " "), want) {
		return step.Output{Code: -1}, fmt.Errorf("running %v: %w", c.Argv, fs.ErrNotExist)
	}
	text, ok := e.content[c.Argv[len(c.Argv)-1]]
	if !ok {
		return step.Output{Code: 1, Stderr: []byte("ctr: content digest: not found")}, errors.New("exit status 1")
	}
	return step.Output{Stdout: text}, nil
}

// has gives the engine content, and says its digest.
func (e *contentEngine) has(format string, args ...any) string {
	text := fmt.Appendf(nil, format, args...)
	sum := sha256.Sum256(text)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if e.content == nil {
		e.content = map[string][]byte{}
	}
	e.content[digest] = text
	return digest
}

func (e *contentEngine) start(t *testing.T) (*step.Machine, *client.Client) {
	t.Helper()
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	engine, err := client.NewClientWithOpts(client.WithHost("tcp://"+server.Listener.Addr().String()), client.WithVersion("1.45"))
	if err != nil {
		t.Fatal(err)
	}
	return &step.Machine{Run: e}, engine
}

func digestFor(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

func TestImageIsKnownByItsConfigInTheContainerdStore(t *testing.T) {
	wanted := ImageDigests{Index: digestFor("1"), Manifest: digestFor("2"), Config: digestFor("c")}
	for what, c := range map[string]struct {
		brought func(e *contentEngine) string // the image's ID
		tags    []string
		known   bool
	}{
		"loaded, with a manifest of its own": {func(e *contentEngine) string { return e.has(`{"config":{"digest":%q}}`, wanted.Config) }, nil, true},
		"loaded with an index": {func(e *contentEngine) string {
			m := e.has(`{"config":{"digest":%q}}`, wanted.Config)
			return e.has(`{"manifests":[{"digest":%q,"platform":{"os":"linux","architecture":%q}},{"digest":%q,"platform":{"os":"unknown","architecture":"unknown"}}]}`, m, runtime.GOARCH, digestFor("0"))
		}, nil, true},
		"an index of which only another machine's part is the wanted one": {func(e *contentEngine) string {
			m := e.has(`{"config":{"digest":%q}}`, wanted.Config)
			return e.has(`{"manifests":[{"digest":%q,"platform":{"os":"linux","architecture":"s390x"}}]}`, m)
		}, nil, false},
		"another image":             {func(e *contentEngine) string { return e.has(`{"config":{"digest":%q}}`, digestFor("d")) }, nil, false},
		"one whose content is gone": {func(*contentEngine) string { return digestFor("3") }, nil, false},
		"one that was looked at and tagged as another": {func(e *contentEngine) string { return e.has(`{"config":{"digest":%q}}`, wanted.Config) },
			[]string{"docker.ipivs.com/valt/web:valt-dddddddddddd"}, false},
	} {
		t.Run(what, func(t *testing.T) {
			e := &contentEngine{}
			id := c.brought(e)
			e.images = []image.Summary{{ID: id, RepoTags: c.tags}}
			h, engine := e.start(t)
			found, err := findImage(t.Context(), h, engine, wanted)
			if c.known && (err != nil || found.ID != id) || !c.known && !errors.Is(err, errNoImage) {
				t.Errorf("found %q, %v", found.ID, err)
			}
			if c.tags != nil {
				return
			}
			if is, err := isImage(t.Context(), h, engine, id, wanted); is != c.known || err != nil {
				t.Errorf("a container of it runs the wanted image: %t, %v", is, err)
			}
		})
	}
}

func TestManifestWithAnotherConfigIsRefusedInTheContainerdStore(t *testing.T) {
	e := &contentEngine{}
	manifest := e.has(`{"config":{"digest":%q}}`, digestFor("d"))
	e.images = []image.Summary{{ID: manifest}}
	h, engine := e.start(t)
	s := &imageStep{ImageParams: ImageParams{Repository: "docker.ipivs.com/valt/web", Digests: ImageDigests{Manifest: manifest, Config: digestFor("c")}}}
	var told *problem.Error
	if err := s.prove(t.Context(), h, engine, manifest); !errors.As(err, &told) || told.Kind != problem.Trust || !strings.Contains(err.Error(), digestFor("d")) {
		t.Errorf("not refused as another image: %v", err)
	}
	s.Digests.Config = digestFor("d")
	if err := s.prove(t.Context(), h, engine, manifest); err != nil {
		t.Errorf("the release's own image is refused: %v", err)
	}
	// What cannot be read proves nothing.
	e.content[manifest] = []byte(`{"config":{"digest":"sha256:other"}}`)
	if err := s.prove(t.Context(), h, engine, manifest); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("content that was changed is believed: %v", err)
	}
	e.noCtr = true
	if err := s.prove(t.Context(), h, engine, manifest); !errors.As(err, &told) || !strings.Contains(told.Fix, "containerd.io") {
		t.Errorf("no way out where ctr is missing: %v", err)
	}
}
