package facts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// engineWithin is how long the engine may take to answer unless Options says otherwise.
const engineWithin = 2 * time.Second

// Engine is what Gather asks of the Docker engine; *client.Client is one.
type Engine interface {
	HTTPClient() *http.Client
	ServerVersion(ctx context.Context) (types.Version, error)
	ContainerList(ctx context.Context, o container.ListOptions) ([]container.Summary, error)
}

// askEngine begins to ask the engine and returns how to get the answer: nil where none
// runs. An engine that is there and does not answer properly is an error.
func askEngine(ctx context.Context, o Options) func() (*EngineFacts, error) {
	if o.Docker == nil {
		return func() (*EngineFacts, error) { return nil, nil }
	}
	within := o.EngineWithin
	if within == 0 {
		within = engineWithin
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	root := dataRoot(&host{root: o.Root})
	var facts *EngineFacts
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		facts, err = engineFacts(ctx, o.Docker, root)
	}()
	return func() (*EngineFacts, error) {
		<-done
		if client.IsErrConnectionFailed(err) {
			return nil, nil
		}
		return facts, err
	}
}

// engineFacts asks for the containers and the version at once.
func engineFacts(ctx context.Context, docker Engine, root string) (*EngineFacts, error) {
	listed := make(chan error, 1)
	var containers []container.Summary
	go func() {
		var err error
		containers, err = docker.ContainerList(ctx, container.ListOptions{All: true})
		listed <- err
	}()
	version, err := engineVersion(ctx, docker)
	if err := errors.Join(err, <-listed); err != nil {
		return nil, fmt.Errorf("asking the Docker engine: %w", err)
	}
	f := &EngineFacts{Version: version, Root: root, Containers: make([]Container, 0, len(containers))}
	for _, c := range containers {
		f.Containers = append(f.Containers, Container{
			Name: containerName(c.Names), Image: c.Image, ImageID: c.ImageID,
			State: c.State, Health: health(c.Status), Labels: c.Labels,
		})
	}
	return f, nil
}

// engineVersion is the engine's own version. It names it with every answer ("Server:
// Docker/27.3.1 (linux)"); asked for it outright, it first starts runc, containerd and
// docker-init for theirs, which takes longer than all of Gather.
func engineVersion(ctx context.Context, docker Engine) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+client.DummyHost+"/_ping", nil)
	if err != nil {
		return "", fmt.Errorf("asking for the version: %w", err)
	}
	answer, err := docker.HTTPClient().Do(r)
	if err != nil {
		// The list that is asked for meanwhile tells whether an engine is there at all.
		return "", fmt.Errorf("asking for the version: %w", err)
	}
	answer.Body.Close()
	if server, ok := strings.CutPrefix(answer.Header.Get("Server"), "Docker/"); ok {
		version, _, _ := strings.Cut(server, " ")
		return version, nil
	}
	full, err := docker.ServerVersion(ctx)
	if err != nil {
		return "", fmt.Errorf("asking for the version: %w", err)
	}
	return full.Version, nil
}

// containerName is a container's own name. Names has links too ("/other/alias").
func containerName(names []string) string {
	for _, n := range names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

// health is the word in a list's status: "Up 2 minutes (healthy)". Empty without a
// health check.
func health(status string) string {
	switch {
	case strings.HasSuffix(status, "(healthy)"):
		return "healthy"
	case strings.HasSuffix(status, "(unhealthy)"):
		return "unhealthy"
	case strings.HasSuffix(status, "(health: starting)"):
		return "starting"
	}
	return ""
}

// SnapFix is the way out of a Docker that is a snap.
const SnapFix = "on the host: sudo snap remove docker (its containers and their data go with it)"

// snapDocker finds Docker as a snap, by where snapd keeps what is installed (snapd's documentation,
// "System snap directory").
func (h *host) snapDocker() string {
	for _, pattern := range []string{"/snap/docker", "/var/lib/snapd/snaps/docker_*.snap"} {
		found, err := filepath.Glob(filepath.Join(h.root, pattern))
		h.keep(err)
		if len(found) > 0 {
			return strings.TrimPrefix(found[0], h.root)
		}
	}
	return ""
}

// dataRoot is where the engine keeps its data: daemon.json's data-root, or the default
// (dockerd(8)). Asking the engine itself costs far more than all the rest.
func dataRoot(h *host) string {
	var config struct {
		DataRoot string `json:"data-root"`
	}
	if json.Unmarshal(h.read("/etc/docker/daemon.json"), &config) != nil || config.DataRoot == "" {
		return "/var/lib/docker"
	}
	return config.DataRoot
}
