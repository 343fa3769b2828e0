package docker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/release/allowed"
)

// Refused is one thing of a container that no release may ask for.
type Refused struct {
	Attribute string // as the Compose specification names it: "cap_add", "logging.driver"
	Index     int    // of several, in the spec's order; -1: there is one
	Key       string // the name of one of several, or of a part of it; empty: there is none
	Err       error  // an *allowed.Refusal
}

// refusals collects what is refused.
type refusals []Refused

func (r *refusals) add(attribute string, index int, key string, err error) {
	if err != nil {
		*r = append(*r, Refused{attribute, index, key, err})
	}
}

func (r *refusals) one(attribute string, err error) { r.add(attribute, -1, "", err) }

// each judges several values.
func (r *refusals) each(attribute string, values []string, judge func(string) error) {
	for i, v := range values {
		r.add(attribute, i, "", judge(v))
	}
}

// Refusals judges everything that the container would have of the host. The site's own choices
// count. The same code judges where a release is published and planned, and on the host.
func (s ContainerSpec) Refusals(own allowed.Site) []Refused {
	var r refusals
	r.one("user", allowed.User(s.User))
	r.each("group_add", s.GroupAdd, allowed.Group)
	r.each("cap_add", s.CapAdd, allowed.Capability)
	r.each("cap_drop", s.CapDrop, allowed.Dropped)
	r.each("security_opt", s.SecurityOpt, allowed.SecurityOption)
	r.each("device_cgroup_rules", s.DeviceCgroupRules, allowed.DeviceRule)
	r.each("dns", s.DNS, allowed.HostAddress)
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		r.add("labels", -1, name, allowed.Label(name))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Sysctls)) {
		r.add("sysctls", -1, name, allowed.Sysctl(name, s.Sysctls[name], s.NetworkMode == "host"))
	}
	for _, u := range s.Ulimits {
		r.add("ulimits", -1, u.Name, allowed.Ulimit(u.Name, u.Soft, u.Hard))
	}
	s.refuseLogs(&r)
	s.refuseNetwork(&r)
	s.refuseFiles(&r, own)
	return r
}

func (s ContainerSpec) refuseLogs(r *refusals) {
	r.one("logging.driver", allowed.LogDriver(s.LogDriver))
	for _, name := range slices.Sorted(maps.Keys(s.LogOptions)) {
		r.add("logging.options", -1, name, allowed.LogOption(name, s.LogOptions[name]))
	}
}

func (s ContainerSpec) refuseNetwork(r *refusals) {
	r.one("network_mode", allowed.NetworkMode(s.NetworkMode))
	for i, p := range s.Ports {
		r.add("ports", i, "host_ip", allowed.HostAddress(p.HostIP))
		r.add("ports", i, "published", allowed.Port(p.Published))
	}
	for _, line := range s.ExtraHosts {
		name, address, _ := strings.Cut(line, ":")
		r.add("extra_hosts", -1, name, allowed.ExtraHost(name, address))
	}
}

func (s ContainerSpec) refuseFiles(r *refusals, own allowed.Site) {
	for i, m := range s.Mounts {
		source := ""
		if m.Type == "bind" {
			source = m.Source
			r.add("volumes", i, "source", own.Path(m.use(), source))
			r.add("volumes", i, "bind", allowed.Propagation(m.Propagation))
		}
		r.add("volumes", i, "target", allowed.Target(m.Target, source))
	}
	for _, target := range slices.Sorted(maps.Keys(s.Tmpfs)) {
		r.add("tmpfs", -1, target, allowed.Tmpfs(target, s.Tmpfs[target]))
	}
	for i, d := range s.Devices {
		r.add("devices", i, "source", allowed.Device(d.Source))
		r.add("devices", i, "permissions", allowed.DevicePermissions(d.Permissions))
	}
}

// use is what a bind is for.
func (m ContainerMount) use() allowed.Use {
	if m.ReadOnly {
		return allowed.ReadBind
	}
	return allowed.Bind
}

// allowed judges the container on its host: what it asks for, and where its binds and devices
// lead now. It is asked again right before the engine makes and starts it, since whatever runs in
// a folder of VALT's can put a link there.
func (c *containerStep) allowed(h *step.Machine) error {
	var errs []error
	for _, r := range c.Spec.Refusals(c.Own) {
		errs = append(errs, step.NotAllowed(fmt.Sprintf("container %s: %s", c.Name, r.Attribute), r.Err))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, m := range c.Spec.Mounts {
		if m.Type == "bind" {
			errs = append(errs, c.leads(h, m.Source, func(real string) error { return c.Own.Real(m.use(), m.Source, real) }))
		}
	}
	for _, d := range c.Spec.Devices {
		errs = append(errs, c.leads(h, d.Source, func(real string) error { return allowed.RealDevice(d.Source, real) }))
	}
	return errors.Join(errs...)
}

// leads judges where a path of the host leads.
func (c *containerStep) leads(h *step.Machine, source string, judge func(real string) error) error {
	real, err := step.Resolve(h, source)
	if err != nil {
		return fmt.Errorf("looking at what container %s is given: %w", c.Name, err)
	}
	return step.NotAllowed("container "+c.Name, judge(real))
}
