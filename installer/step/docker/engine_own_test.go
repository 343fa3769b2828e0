package docker

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/testneeds"
)

// The engine of the machine is shared: with other runs of these tests at the same time, with
// what a killed run left, and with whatever else runs there. So everything a run makes in it
// carries the run's own name, is found again by that name's label, and removed by its ID.

// testRun names this run of the tests; nothing else in an engine has this name.
var testRun = strings.ToLower(rand.Text()[:12])

// ownName is a name in the engine that is this run's and this test's alone.
func ownName(t *testing.T) string {
	test := strings.NewReplacer("/", "-", "_", "-", " ", "-").Replace(t.Name())
	return "valt-step-test-" + testRun + "-" + strings.ToLower(test)
}

// ofOwn asks for what has a test's own name as its Compose project.
func ofOwn(project string) filters.Args {
	return filters.NewArgs(filters.Arg("label", "com.docker.compose.project="+project))
}

// removeContainers removes a test's containers when it ends.
func removeContainers(t *testing.T, project string) {
	t.Helper()
	engine := dockerOf(t, engineMachine(nil))
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		list, err := engine.ContainerList(ctx, container.ListOptions{All: true, Filters: ofOwn(project)})
		if err != nil {
			t.Errorf("listing the test's containers: %v", err)
		}
		for _, c := range list {
			if err := engine.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true}); err != nil && !cerrdefs.IsNotFound(err) {
				t.Errorf("removing the test's container: %v", err)
			}
		}
	})
}

// removeNetworks removes a test's networks when it ends.
func removeNetworks(t *testing.T, project string) {
	t.Helper()
	engine := dockerOf(t, engineMachine(nil))
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		list, err := engine.NetworkList(ctx, network.ListOptions{Filters: ofOwn(project)})
		if err != nil {
			t.Errorf("listing the test's networks: %v", err)
		}
		for _, n := range list {
			if err := engine.NetworkRemove(ctx, n.ID); err != nil && !cerrdefs.IsNotFound(err) {
				t.Errorf("removing the test's network: %v", err)
			}
		}
	})
}

// throughEngine has the machine's engine answer through what wrap makes of it.
func throughEngine(t *testing.T, h *step.Machine, wrap func(engine http.Handler) http.Handler) {
	t.Helper()
	testneeds.Of(t, testneeds.Engine)
	root, err := os.MkdirTemp("", "engine") // a short name: a socket's is at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	h.Root = root
	socket := h.Path("/var/run/docker.sock")
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", "/var/run/docker.sock")
	}}
	server := &http.Server{Handler: wrap(proxy)}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
}

// throughOwnEngine has the machine's engine know the containers of a project alone: those of
// others on this machine may come and go while a test runs.
func throughOwnEngine(t *testing.T, h *step.Machine, project string) {
	t.Helper()
	only, err := filters.ToJSON(ofOwn(project))
	if err != nil {
		t.Fatal(err)
	}
	throughEngine(t, h, func(engine http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/containers/json"):
				q := r.URL.Query()
				q.Set("filters", only)
				r.URL.RawQuery = q.Encode()
				engine.ServeHTTP(w, r)
			case strings.HasSuffix(r.URL.Path, "/info"):
				tellOwnInfo(t, w, r, engine, project)
			default:
				engine.ServeHTTP(w, r)
			}
		})
	})
}

// tellOwnInfo answers what the engine says of itself, with the project's containers counted.
func tellOwnInfo(t *testing.T, w http.ResponseWriter, r *http.Request, engine http.Handler, project string) {
	said := &recordedAnswer{header: http.Header{}}
	engine.ServeHTTP(said, r)
	var info map[string]json.RawMessage
	if err := json.Unmarshal(said.body.Bytes(), &info); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	running := 0
	for _, state := range ofProject(t, project) {
		if state == "running" {
			running++
		}
	}
	info["ContainersRunning"] = fmt.Append(nil, running)
	text, err := json.Marshal(info)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.Copy(w, bytes.NewReader(text))
}

// recordedAnswer keeps an answer.
type recordedAnswer struct {
	header http.Header
	body   bytes.Buffer
}

func (a *recordedAnswer) Header() http.Header         { return a.header }
func (a *recordedAnswer) WriteHeader(int)             {}
func (a *recordedAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }

// TestOthersInTheEngineAreLeftOut: what else runs on the machine is not part of these tests.
func TestOthersInTheEngineAreLeftOut(t *testing.T) {
	_, h := started(t)
	others := containerFor(t, load(t, probeImage(t, "others")))
	others.Project += "-others"
	others.Name += "-others"
	removeContainers(t, others.Project)
	if err := steptest.MakeStep(t, ContainerKind(), others).Apply(t.Context(), engineMachine(nil)); err != nil {
		t.Fatal(err)
	}
	list, err := dockerOf(t, h).ContainerList(t.Context(), container.ListOptions{})
	if err != nil || len(list) != 1 || list[0].Names[0] == "/"+others.Name {
		t.Errorf("%+v, %v", list, err)
	}
	info, err := dockerOf(t, h).Info(t.Context())
	if err != nil || info.ContainersRunning != 1 {
		t.Errorf("%d containers run, %v", info.ContainersRunning, err)
	}
}
