package database

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// How long a throwaway server may take to come up (it makes a new database first, or recovers one), and to stop.
const (
	upWithin   = 10 * time.Minute
	downWithin = 5 * time.Minute
)

// model is a database's container as others are made like it.
type model struct {
	found *container.InspectResponse
	data  container.MountPoint // the one that it writes to
}

// modelOf looks at the container of a name, whether it runs or not. Where it keeps its data must be one place, or a
// copy of that would not be all.
func modelOf(ctx context.Context, h *step.Machine, name string) (*model, error) {
	engine, err := h.Docker()
	if err != nil {
		return nil, fmt.Errorf("looking at the database: %w", err)
	}
	found, err := engine.ContainerInspect(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("looking at the database: %w", err)
	}
	if found.Config.Labels[docker.LabelSpec] == "" {
		return nil, &problem.Error{Kind: problem.Check, Doing: "looking at container", Object: name, Err: errors.New("it was not made by valtctl"), Fix: "valtctl repair"}
	}
	m := &model{found: &found}
	places := 0
	for _, p := range found.Mounts {
		if p.RW && (p.Type == mount.TypeBind || p.Type == mount.TypeVolume) {
			m.data = p
			places++
		}
	}
	if places != 1 {
		return nil, fmt.Errorf("looking at container %s: it writes to %d folders of the host, and a database is to keep its data in one", name, places)
	}
	return m, nil
}

// place is where the model keeps its data.
func (m *model) place() place { return place(filepath.Clean(m.data.Source)) }

// throwaway is a server of the model's image over a folder of data, without a network.
type throwaway struct {
	*server
	id string
}

// throwawayName is what every one of them is called: there is one at a time, and one that was left over is removed.
func throwawayName(of string) string { return of + "-throwaway" }

// start makes and starts one and waits until it answers, with its events off.
func (m *model) start(ctx context.Context, h *step.Machine, data string, l Login) (*throwaway, error) {
	engine, err := h.Docker()
	if err != nil {
		return nil, fmt.Errorf("starting a throwaway database: %w", err)
	}
	name := throwawayName(trimSlash(m.found.Name))
	if err := removeContainer(ctx, engine, name); err != nil {
		return nil, err
	}
	config, host := m.like(data)
	made, err := engine.ContainerCreate(ctx, config, host, nil, nil, name)
	if err != nil {
		return nil, fmt.Errorf("making a throwaway database: %w", err)
	}
	t := &throwaway{id: made.ID}
	if err = engine.ContainerStart(ctx, made.ID, container.StartOptions{}); err == nil {
		t.server, err = await(ctx, h, engine, name, l)
	}
	if err == nil {
		err = t.quiet(ctx)
	}
	if err != nil {
		said := lastWords(ctx, engine, made.ID)
		return nil, errors.Join(fmt.Errorf("starting a throwaway database: %w%s", err, said), remove(ctx, engine, name))
	}
	return t, nil
}

// like is the model's container without network, ports, restarts and other containers' names, over another folder.
func (m *model) like(data string) (*container.Config, *container.HostConfig) {
	was, host := m.found.Config, m.found.HostConfig
	config := &container.Config{Image: m.found.Image, Entrypoint: was.Entrypoint, Cmd: was.Cmd, Env: was.Env, User: was.User,
		WorkingDir: was.WorkingDir, Labels: map[string]string{}, Healthcheck: was.Healthcheck, StopSignal: was.StopSignal}
	for _, label := range []string{docker.LabelSite, docker.LabelRole, docker.LabelRelease, docker.LabelSpec} {
		config.Labels[label] = was.Labels[label]
	}
	like := &container.HostConfig{NetworkMode: "none", CapAdd: host.CapAdd, CapDrop: host.CapDrop, SecurityOpt: host.SecurityOpt,
		GroupAdd: host.GroupAdd, ReadonlyRootfs: host.ReadonlyRootfs, Tmpfs: host.Tmpfs, ShmSize: host.ShmSize, Init: host.Init,
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		Resources:     container.Resources{Memory: host.Memory, PidsLimit: host.PidsLimit, Ulimits: host.Ulimits}}
	for _, p := range m.found.Mounts {
		source := p.Source
		if p.Destination == m.data.Destination {
			source = data
		}
		like.Mounts = append(like.Mounts, mount.Mount{Type: mount.TypeBind, Source: source, Target: p.Destination, ReadOnly: !p.RW})
	}
	return config, like
}

// await logs in once the server answers. A container that has a health check is healthy before: some images run
// another server first.
func await(ctx context.Context, h *step.Machine, engine *client.Client, name string, l Login) (*server, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, upWithin, fmt.Errorf("it did not answer within %s", upWithin))
	defer cancel()
	for {
		now, err := engine.ContainerInspect(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("waiting for it: %w", errors.Join(context.Cause(ctx), err))
		}
		if !now.State.Running {
			return nil, fmt.Errorf("it ended with exit code %d", now.State.ExitCode)
		}
		if now.State.Health == nil || now.State.Health.Status == container.Healthy || now.State.Health.Status == container.NoHealthcheck {
			s, err := enter(ctx, h, name, l)
			if err == nil {
				if _, err = s.query(ctx, "SELECT 1;\n"); err == nil {
					return s, nil
				}
				err = errors.Join(err, s.leave(ctx))
			}
			if now.State.Health != nil && ctx.Err() == nil { // it says that it serves
				return nil, err
			}
		}
		if err := sleep.For(ctx, 250*time.Millisecond); err != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// end stops a throwaway in its own time and takes it away. What it leaves is in order, or this is an error.
func (t *throwaway) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), downWithin+time.Minute)
	defer cancel()
	seconds := int(downWithin / time.Second)
	if err := t.engine.ContainerStop(ctx, t.id, container.StopOptions{Timeout: &seconds}); err != nil {
		return errors.Join(fmt.Errorf("stopping the throwaway database: %w", err), remove(ctx, t.engine, t.id))
	}
	now, err := t.engine.ContainerInspect(ctx, t.id)
	if err == nil && now.State.ExitCode != 0 {
		err = fmt.Errorf("it ended with exit code %d", now.State.ExitCode)
	}
	if err != nil {
		err = fmt.Errorf("stopping the throwaway database: %w", err)
	}
	return errors.Join(err, remove(ctx, t.engine, t.id))
}

// remove takes a container of ours away, also where the time for all else is over.
func remove(ctx context.Context, engine *client.Client, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return removeContainer(ctx, engine, name)
}

func removeContainer(ctx context.Context, engine *client.Client, name string) error {
	err := engine.ContainerRemove(ctx, name, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !cerrdefs.IsNotFound(err) {
		return fmt.Errorf("removing the throwaway database: %w", err)
	}
	return nil
}

// lastWords is what a container said last, for an error; empty: nothing.
func lastWords(ctx context.Context, engine *client.Client, id string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	log, err := engine.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "10"})
	if err != nil {
		return ""
	}
	defer log.Close()
	said := &tail{limit: maxSaid}
	_ = docker.CopyLog(said, log) // what came until then is told
	if said.String() == "" {
		return ""
	}
	return "; it said: " + said.String()
}

func trimSlash(name string) string { return filepath.Base(name) }
