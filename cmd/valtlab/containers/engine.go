// Package containers is the practice site's hold on the local Docker engine: it
// sees that one answers, and starts, enters, fills and removes containers that
// behave like machines. Everything it makes carries one label, and everything it
// removes is found by that label, so that a lab never touches what is not its own.
// It knows nothing of VALT, of sites or of what runs in the containers.
package containers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/docker/docker/client"

	"ipivs.com/valtctl/cmd/valtlab/program"
)

// Label is the container, network and volume label whose value is the lab's name.
const Label = "com.ipivs.valtlab"

// Engine is the local Docker engine.
type Engine struct {
	api *client.Client
}

// Open returns the engine that the environment (DOCKER_HOST) names, by default
// the one on /var/run/docker.sock. It does not ask whether the engine answers.
func Open() (*Engine, error) {
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, fmt.Errorf("opening the Docker engine: %w", err)
	}
	return &Engine{api: api}, nil
}

// API is the engine's own client, for what this package does not wrap.
func (e *Engine) API() *client.Client { return e.api }

// pingWithin is how long a busy engine may take to answer. One that is not there is told at
// once.
const pingWithin = time.Minute

// Ping asks whether the engine answers.
func (e *Engine) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingWithin)
	defer cancel()
	if _, err := e.api.Ping(ctx); err != nil {
		return fmt.Errorf("asking the Docker engine: %w", err)
	}
	return nil
}

// Start starts dockerd in a session of its own, so that it outlives this program,
// writing to logFile, and waits until it answers. A pid file left by a killed engine is removed
// first, since dockerd refuses to start beside one whose number some other process
// has got by now.
func (e *Engine) Start(ctx context.Context, logFile string) error {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("opening the engine's log: %w", err)
	}
	defer log.Close()
	for _, stale := range []string{"/var/run/docker.pid", "/var/run/docker/containerd/containerd.pid"} {
		if err := os.Remove(stale); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("removing a stale pid file: %w", err)
		}
	}
	dockerd := exec.Command("dockerd")
	dockerd.Stdout, dockerd.Stderr = log, log
	dockerd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := dockerd.Start(); err != nil {
		return fmt.Errorf("starting dockerd: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- dockerd.Wait() }()
	return e.await(ctx, exited, logFile)
}

// await returns when the engine answers, ends or has had a minute.
func (e *Engine) await(ctx context.Context, exited <-chan error, logFile string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-exited:
			said, _ := os.ReadFile(logFile) // beside its end it is only an explanation
			return fmt.Errorf("dockerd ended at once (%v); it said last (more is in %s):\n%s", err, logFile, program.LastLines(said))
		case <-ctx.Done():
			return fmt.Errorf("waiting for dockerd: %w; see %s", ctx.Err(), logFile)
		case <-tick.C:
			if e.Ping(ctx) == nil {
				return nil
			}
		}
	}
}
