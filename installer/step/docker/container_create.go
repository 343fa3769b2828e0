package docker

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"

	"ipivs.com/valtctl/installer/step"
)

// config is what the container runs, in the engine's words. The image is named by its ID,
// which works for an image without a repository name too.
func (c *containerStep) config(imageID string, watch map[string]string) (*container.Config, error) {
	labels, err := c.labels(imageID, watch)
	if err != nil {
		return nil, err
	}
	s := c.Spec
	config := &container.Config{
		Image: imageID, Entrypoint: s.Entrypoint, Cmd: s.Command, User: s.User,
		WorkingDir: s.WorkingDir, Hostname: s.Hostname, Healthcheck: c.health, Labels: labels,
		StopSignal: s.StopSignal, StopTimeout: s.StopSeconds, ExposedPorts: nat.PortSet{},
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		config.Env = append(config.Env, name+"="+s.Env[name])
	}
	for _, p := range s.Ports {
		config.ExposedPorts[p.port()] = struct{}{}
	}
	return config, nil
}

// labels are Compose's, so that `docker compose ps` sees the container, and ours.
func (c *containerStep) labels(imageID string, watch map[string]string) (map[string]string, error) {
	spec, err := json.Marshal(c.Spec)
	if err != nil {
		return nil, fmt.Errorf("writing the label of container %s: %w", c.Name, err)
	}
	files, err := json.Marshal(watch)
	if err != nil {
		return nil, fmt.Errorf("writing the label of container %s: %w", c.Name, err)
	}
	labels := maps.Clone(c.Spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{
		"com.docker.compose.project":              c.Project,
		"com.docker.compose.service":              c.Service,
		"com.docker.compose.container-number":     "1",
		"com.docker.compose.oneoff":               "False",
		"com.docker.compose.config-hash":          c.hash,
		"com.docker.compose.image":                imageID,
		"com.docker.compose.project.config_files": c.Compose,
		"com.docker.compose.project.working_dir":  path.Dir(c.Compose),
		// Compose 2.0 began to read this label; nothing newer is asked of it.
		"com.docker.compose.version": "2.0.0",
		LabelSite:                    c.Site,
		LabelRole:                    c.Role,
		LabelRelease:                 c.Release,
		LabelSpec:                    c.hash,
		labelConfig:                  string(spec),
		labelWatch:                   string(files),
	})
	return labels, nil
}

// hostConfig is what the container gets of the host.
func (c *containerStep) hostConfig() (*container.HostConfig, error) {
	s := c.Spec
	host := &container.HostConfig{
		NetworkMode: c.networkMode(), RestartPolicy: c.restart, CapAdd: s.CapAdd, CapDrop: s.CapDrop,
		ReadonlyRootfs: s.ReadOnly, SecurityOpt: s.SecurityOpt, Tmpfs: s.Tmpfs, ShmSize: s.ShmSize,
		Sysctls: s.Sysctls, Init: s.Init, ExtraHosts: s.ExtraHosts, DNS: s.DNS, GroupAdd: s.GroupAdd,
		PortBindings: nat.PortMap{},
		LogConfig:    container.LogConfig{Type: s.LogDriver, Config: s.LogOptions},
	}
	host.Memory, host.DeviceCgroupRules = s.Memory, s.DeviceCgroupRules
	if s.PidsLimit != 0 {
		host.PidsLimit = &s.PidsLimit
	}
	for _, p := range s.Ports {
		host.PortBindings[p.port()] = append(host.PortBindings[p.port()],
			nat.PortBinding{HostIP: p.HostIP, HostPort: strconv.Itoa(p.Published)})
	}
	for _, d := range s.Devices {
		host.Devices = append(host.Devices, d.engine())
	}
	for _, u := range s.Ulimits {
		host.Ulimits = append(host.Ulimits, &units.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	for _, m := range s.Mounts {
		made, err := m.engine()
		if err != nil {
			return nil, fmt.Errorf("mounting %s into container %s: %w", m.Target, c.Name, err)
		}
		host.Mounts = append(host.Mounts, made)
	}
	return host, nil
}

// networkMode is the network the container is created in: the first of its networks.
// Engines before API 1.44 take only one at that moment; the rest are joined before it starts.
func (c *containerStep) networkMode() container.NetworkMode {
	switch {
	case c.Spec.NetworkMode != "":
		return container.NetworkMode(c.Spec.NetworkMode)
	case len(c.Spec.Networks) > 0:
		return container.NetworkMode(c.Spec.Networks[0].Name)
	}
	return "none"
}

func (c *containerStep) networking() *network.NetworkingConfig {
	if len(c.Spec.Networks) == 0 {
		return nil
	}
	first := c.Spec.Networks[0]
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{first.Name: first.engine()}}
}

func (n ContainerNetwork) engine() *network.EndpointSettings {
	made := &network.EndpointSettings{Aliases: n.Aliases}
	if n.Address != "" {
		made.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: n.Address}
	}
	return made
}

func (p ContainerPort) port() nat.Port {
	return nat.Port(strconv.Itoa(p.Target) + "/" + p.Protocol)
}

func (d ContainerDevice) engine() container.DeviceMapping {
	made := container.DeviceMapping{PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: d.Permissions}
	if made.PathInContainer == "" {
		made.PathInContainer = d.Source
	}
	if made.CgroupPermissions == "" {
		made.CgroupPermissions = "rwm"
	}
	return made
}

// engine refuses what would give the container storage that nobody knows by name: it
// would be left behind, with its data, by the next replacement.
func (m ContainerMount) engine() (mount.Mount, error) {
	made := mount.Mount{Type: mount.Type(m.Type), Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
	switch m.Type {
	case "bind":
		if err := step.CleanPath(m.Source); err != nil {
			return made, err
		}
		if m.Propagation != "" {
			made.BindOptions = &mount.BindOptions{Propagation: mount.Propagation(m.Propagation)}
		}
	case "volume":
		if m.Source == "" || strings.Contains(m.Source, "/") {
			return made, fmt.Errorf("checking the volume %q: a volume must have a name", m.Source)
		}
		made.VolumeOptions = &mount.VolumeOptions{NoCopy: m.NoCopy, Labels: m.Labels}
	default:
		return made, fmt.Errorf("checking the mount type %q: only bind and volume are known", m.Type)
	}
	return made, nil
}

// engine reads the durations of a health check.
func (c *ContainerHealth) engine() (*container.HealthConfig, error) {
	if c == nil {
		return nil, nil
	}
	made := &container.HealthConfig{Test: c.Test, Retries: c.Retries}
	for _, d := range []struct {
		name, text string
		into       *time.Duration
	}{{"interval", c.Interval, &made.Interval}, {"timeout", c.Timeout, &made.Timeout}, {"start_period", c.StartPeriod, &made.StartPeriod}} {
		if d.text == "" {
			continue
		}
		parsed, err := time.ParseDuration(d.text)
		if err != nil {
			return nil, fmt.Errorf("reading the health check's %s: %w", d.name, err)
		}
		*d.into = parsed
	}
	return made, nil
}

// parseRestart reads Docker's word for a restart policy: "on-failure:3".
func parseRestart(text string) (container.RestartPolicy, error) {
	name, count, counted := strings.Cut(text, ":")
	if name == "" {
		name = "no"
	}
	policy := container.RestartPolicy{Name: container.RestartPolicyMode(name)}
	if counted {
		n, err := strconv.Atoi(count)
		if err != nil {
			return policy, fmt.Errorf("reading the restart policy %q: %w", text, err)
		}
		policy.MaximumRetryCount = n
	}
	if err := container.ValidateRestartPolicy(policy); err != nil {
		return policy, fmt.Errorf("reading the restart policy %q: %w", text, err)
	}
	return policy, nil
}
