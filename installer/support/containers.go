package support

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/redact"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
)

// containers are all that the engine has, asked for once.
type containers struct {
	engine *client.Client
	all    []container.InspectResponse
	err    error
}

// Of others' containers an archive has what they are and not what they are told: their
// variables may hold anything.
type foreign struct {
	Name      string            `json:"name"`
	Image     string            `json:"image"`
	State     *container.State  `json:"state"`
	Restarts  int               `json:"restarts"`
	Network   string            `json:"network"`
	Variables []string          `json:"variables"` // names alone
	Labels    map[string]string `json:"labels,omitempty"`
}

func (h *host) containers(ctx context.Context) *containers {
	if h.listing != nil {
		return h.listing
	}
	h.listing = &containers{}
	ctx, cancel := context.WithTimeout(ctx, h.Within)
	defer cancel()
	h.listing.err = h.listing.list(ctx, h.Machine)
	return h.listing
}

func (c *containers) list(ctx context.Context, m *step.Machine) error {
	var err error
	if c.engine, err = m.Docker(); err != nil {
		return fmt.Errorf("asking the engine: %w", err)
	}
	listed, err := c.engine.ContainerList(ctx, container.ListOptions{All: true})
	if client.IsErrConnectionFailed(err) {
		return errAbsent
	}
	if err != nil {
		return fmt.Errorf("listing the containers: %w", err)
	}
	for _, one := range listed {
		full, err := c.engine.ContainerInspect(ctx, one.ID)
		if cerrdefs.IsNotFound(err) {
			continue // it has gone since
		}
		if err != nil {
			return fmt.Errorf("asking for container %s: %w", one.ID, err)
		}
		c.all = append(c.all, full)
	}
	slices.SortFunc(c.all, func(a, b container.InspectResponse) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return nil
}

func ours(c container.InspectResponse) bool { return c.Config.Labels[docker.LabelSite] != "" }

// secrets are values of variables that are named like passwords: a program may print what
// it was told.
func (c *containers) secrets() []redact.Secret {
	// A password of a few letters is likely a word, and would take every such word out.
	const fewest = 6
	var all []redact.Secret
	for _, one := range c.all {
		for _, variable := range one.Config.Env {
			name, value, _ := strings.Cut(variable, "=")
			if len(value) >= fewest && redact.Sensitive(name) {
				all = append(all, redact.Secret{Name: "container-variable", Value: []byte(value)})
			}
		}
	}
	return all
}

// inspected is what the engine says of every container.
func (h *host) inspected(ctx context.Context, out io.Writer) error {
	c := h.containers(ctx)
	if c.err != nil {
		return c.err
	}
	type listing struct {
		Ours    []container.InspectResponse `json:"ours"`
		Foreign []foreign                   `json:"foreign"`
	}
	var found listing
	for _, one := range c.all {
		if ours(one) {
			found.Ours = append(found.Ours, one)
			continue
		}
		f := foreign{Name: one.Name, Image: one.Config.Image, State: one.State, Restarts: one.RestartCount, Labels: one.Config.Labels}
		if one.HostConfig != nil {
			f.Network = string(one.HostConfig.NetworkMode)
		}
		for _, variable := range one.Config.Env {
			name, _, _ := strings.Cut(variable, "=")
			f.Variables = append(f.Variables, name)
		}
		found.Foreign = append(found.Foreign, f)
	}
	return writeJSON(out, found)
}

// engine is what the engine says of itself.
func (h *host) engine(ctx context.Context, out io.Writer) error {
	c := h.containers(ctx)
	if c.engine == nil || c.err != nil {
		return errAbsent // said with the containers
	}
	info, err := c.engine.Info(ctx)
	if err != nil {
		return fmt.Errorf("asking the engine what it is: %w", err)
	}
	version, err := c.engine.ServerVersion(ctx)
	if err != nil {
		return fmt.Errorf("asking the engine for its version: %w", err)
	}
	return writeJSON(out, map[string]any{"info": info, "version": version})
}

// logLines is how many lines of each container's log are asked for.
const logLines = "20000"

// logs are those of our containers, those that were set aside included.
func (c *containers) logs() []source {
	var all []source
	for _, one := range c.all {
		if !ours(one) {
			continue
		}
		id, name := one.ID, strings.TrimPrefix(one.Name, "/")
		all = append(all, source{path: "containers/" + fileName(name) + ".log", take: func(ctx context.Context, out io.Writer) error {
			log, err := c.engine.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Tail: logLines})
			if err != nil {
				return fmt.Errorf("reading the log of %s: %w", name, err)
			}
			defer log.Close()
			if err := docker.CopyLog(out, log); err != nil {
				return fmt.Errorf("reading the log of %s: %w", name, err)
			}
			return nil
		}})
	}
	return all
}
