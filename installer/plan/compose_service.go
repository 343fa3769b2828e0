package plan

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"ipivs.com/valtctl/installer/step/docker"
)

// container translates one service.
func (c Compose) container(project *types.Project, s types.ServiceConfig) (docker.ContainerParams, error) {
	made := docker.ContainerParams{
		Name: Project + "-" + s.Name, Site: c.Site, Role: c.Role, Release: c.Release,
		Project: Project, Service: s.Name, Compose: c.File, Disrupts: c.Disrupts, Own: c.Own,
	}
	var errs []error
	note := func(attribute string, err error) {
		if err != nil {
			errs = append(errs, c.refuse(s.Name, attribute, err))
		}
	}
	name, platform, err := c.image(s.Image)
	note("image", err)
	made.Image, made.Repository = digests(platform), ReplaceEndpoint(c.Images[name].Repository, c.Endpoints)

	spec := plainSpec(s)
	spec.Env, err = environment(s.Environment)
	note("environment", err)
	spec.Health = healthcheck(s.HealthCheck)
	spec.Ports, err = ports(s.Ports)
	note("ports", err)
	spec.Networks = attachments(project, s)
	spec.Mounts, err = mounts(project, s.Volumes)
	note("volumes", err)
	spec.Mounts = append(spec.Mounts, secretMounts(project, s.Secrets)...)
	spec.StopSeconds, err = graceSeconds(s.StopGracePeriod)
	note("stop_grace_period", err)
	made.Spec = spec
	return made, errors.Join(append(errs, c.judge(project, s, spec))...)
}

// plainSpec is what needs no judgement.
func plainSpec(s types.ServiceConfig) docker.ContainerSpec {
	spec := docker.ContainerSpec{
		Entrypoint: s.Entrypoint, Command: s.Command, User: s.User, GroupAdd: s.GroupAdd,
		WorkingDir: s.WorkingDir, Hostname: s.Hostname, Labels: s.Labels, Restart: s.Restart,
		StopSignal: s.StopSignal, Init: s.Init, ReadOnly: s.ReadOnly, NetworkMode: s.NetworkMode,
		DNS: s.DNS, DeviceCgroupRules: s.DeviceCgroupRules,
		CapAdd: s.CapAdd, CapDrop: s.CapDrop, SecurityOpt: s.SecurityOpt, Sysctls: s.Sysctls,
		ShmSize: int64(s.ShmSize), Memory: int64(s.MemLimit), PidsLimit: s.PidsLimit,
	}
	// AsList ranges over a map; the plan's digest must not depend on that.
	spec.ExtraHosts = slices.Sorted(slices.Values(s.ExtraHosts.AsList(":")))
	for _, d := range s.Devices {
		spec.Devices = append(spec.Devices, docker.ContainerDevice{Source: d.Source, Target: d.Target, Permissions: d.Permissions})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Ulimits)) {
		spec.Ulimits = append(spec.Ulimits, ulimit(name, s.Ulimits[name]))
	}
	for _, t := range s.Tmpfs {
		if spec.Tmpfs == nil {
			spec.Tmpfs = map[string]string{}
		}
		target, options := cutTmpfs(t)
		spec.Tmpfs[target] = options
	}
	if s.Logging != nil {
		spec.LogDriver, spec.LogOptions = s.Logging.Driver, s.Logging.Options
	}
	return spec
}

// cutTmpfs splits "/run:size=64m".
func cutTmpfs(text string) (target, options string) {
	for i, r := range text {
		if r == ':' {
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

func ulimit(name string, u *types.UlimitsConfig) docker.ContainerUlimit {
	if u.Single != 0 {
		return docker.ContainerUlimit{Name: name, Soft: int64(u.Single), Hard: int64(u.Single)}
	}
	return docker.ContainerUlimit{Name: name, Soft: int64(u.Soft), Hard: int64(u.Hard)}
}

// environment refuses a variable without a value: Compose would take it from whoever runs it.
func environment(vars types.MappingWithEquals) (map[string]string, error) {
	var made map[string]string
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if vars[name] == nil {
			errs = append(errs, fmt.Errorf("%s has no value; write one", name))
			continue
		}
		if made == nil {
			made = map[string]string{}
		}
		made[name] = *vars[name]
	}
	return made, errors.Join(errs...)
}

func healthcheck(h *types.HealthCheckConfig) *docker.ContainerHealth {
	if h == nil {
		return nil
	}
	if h.Disable {
		return &docker.ContainerHealth{Test: []string{"NONE"}}
	}
	made := &docker.ContainerHealth{Test: h.Test, Interval: duration(h.Interval), Timeout: duration(h.Timeout), StartPeriod: duration(h.StartPeriod)}
	if h.Retries != nil {
		made.Retries = int(*h.Retries)
	}
	return made
}

func duration(d *types.Duration) string {
	if d == nil {
		return ""
	}
	return time.Duration(*d).String()
}

// graceSeconds is how long a container may take to stop; the engine counts whole seconds.
func graceSeconds(d *types.Duration) (*int, error) {
	if d == nil {
		return nil, nil
	}
	whole := time.Duration(*d)
	if whole < 0 || whole%time.Second != 0 {
		return nil, fmt.Errorf("%s: write whole seconds", whole)
	}
	seconds := int(whole / time.Second)
	return &seconds, nil
}

// ports refuses ports that the engine would choose by itself: nobody could open a firewall
// for them.
func ports(list []types.ServicePortConfig) ([]docker.ContainerPort, error) {
	var made []docker.ContainerPort
	for _, p := range list {
		published, err := strconv.Atoi(p.Published)
		if err != nil || published < 1 || published > 65535 {
			return nil, fmt.Errorf("container port %d must name one port of the host between 1 and 65535, not %q", p.Target, p.Published)
		}
		made = append(made, docker.ContainerPort{HostIP: p.HostIP, Published: published, Target: int(p.Target), Protocol: p.Protocol})
	}
	return made, nil
}

// attachments are the service's networks; it is found in each by its own name.
func attachments(project *types.Project, s types.ServiceConfig) []docker.ContainerNetwork {
	var made []docker.ContainerNetwork
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		n := docker.ContainerNetwork{Name: project.Networks[key].Name, Aliases: []string{s.Name}}
		if own := s.Networks[key]; own != nil {
			n.Aliases = slices.Compact(slices.Sorted(slices.Values(append(n.Aliases, own.Aliases...))))
			n.Address = own.Ipv4Address
		}
		made = append(made, n)
	}
	return made
}

// mounts are binds of existing absolute paths and named volumes.
func mounts(project *types.Project, list []types.ServiceVolumeConfig) ([]docker.ContainerMount, error) {
	var made []docker.ContainerMount
	var errs []error
	for _, v := range list {
		m := docker.ContainerMount{Type: v.Type, Source: v.Source, Target: v.Target, ReadOnly: v.ReadOnly}
		switch {
		case v.Type == types.VolumeTypeBind:
			if v.Bind != nil {
				m.Propagation = v.Bind.Propagation
			}
		case v.Type != types.VolumeTypeVolume:
			errs = append(errs, fmt.Errorf("%s: a mount of type %q is not supported; use a bind, a named volume, or tmpfs", v.Target, v.Type))
		case v.Source == "":
			errs = append(errs, fmt.Errorf("%s: an anonymous volume would lose its data when the container is replaced; give it a name", v.Target))
		default:
			m.Source = project.Volumes[v.Source].Name
			m.NoCopy = v.Volume != nil && v.Volume.NoCopy
			m.Labels = map[string]string{"com.docker.compose.project": Project, "com.docker.compose.volume": v.Source}
		}
		made = append(made, m)
	}
	return made, errors.Join(errs...)
}

// secretMounts are read-only binds of the host's secret files.
func secretMounts(project *types.Project, list []types.ServiceSecretConfig) []docker.ContainerMount {
	var made []docker.ContainerMount
	for _, s := range list {
		target := s.Target
		if target == "" {
			target = s.Source
		}
		if !path.IsAbs(target) {
			target = path.Join("/run/secrets", target)
		}
		made = append(made, docker.ContainerMount{Type: "bind", Source: project.Secrets[s.Source].File, Target: target, ReadOnly: true})
	}
	return made
}
