package containers

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
)

// Spec is one container. Its zero values ask for nothing special.
type Spec struct {
	Name     string // of the container
	Hostname string
	Lab      string // value of Label
	Kind     string // "host", "world", "client", "camera": label com.ipivs.valtlab.kind
	Image    string
	Command  []string // empty: what the image says
	Env      []string
	Network  string // or "container:NAME": that container's own
	Address  netip.Addr
	Aliases  []string
	Hosts    []string // lines of /etc/hosts as name:address
	Binds    []Bind
	Volumes  []Volume
	Tmpfs    map[string]string // path → mount options
	// Machine asks for a whole machine: systemd as process 1, the capabilities a
	// server needs, and a restart after it powers itself off (a reboot).
	Machine bool
	// Unified is a tree of control groups of the second version, as this machine has it mounted; empty: the
	// machine inside has what the engine gives it.
	Unified string
	Init    bool              // a process 1 that reaps, before Command
	Labels  map[string]string // besides Lab's and Kind's
}

// Bind is a file or folder of the controller seen inside.
type Bind struct {
	Source, Target string
	ReadOnly       bool
}

// Volume is a fresh named volume; its name carries the container's.
type Volume struct {
	Name, Target string
}

// KindLabel says what a container is for.
const KindLabel = Label + ".kind"

// machineCapabilities is what systemd, nested Docker, nft and apt need. The engine's
// --privileged asks for every capability and fails where one is withheld
// (SYS_RESOURCE on some virtual machines), so they are named.
func machineCapabilities() []string {
	return []string{
		"SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYS_MODULE", "SYS_BOOT", "SYS_NICE",
		"SYS_TIME", "MKNOD", "AUDIT_CONTROL", "AUDIT_READ", "MAC_ADMIN", "LEASE", "SYSLOG",
		"IPC_LOCK", "DAC_READ_SEARCH", "LINUX_IMMUTABLE", "SYS_TTY_CONFIG", "WAKE_ALARM",
		"BLOCK_SUSPEND", "NET_BROADCAST",
	}
}

// labels are the labels of everything made for the container.
func (s Spec) labels() map[string]string {
	labels := map[string]string{Label: s.Lab, KindLabel: s.Kind}
	maps.Copy(labels, s.Labels)
	return labels
}

// config is the part of a container that its image could also say.
func (s Spec) config() *container.Config {
	c := &container.Config{
		Image:    s.Image,
		Hostname: s.Hostname,
		Cmd:      s.Command,
		Env:      s.Env,
		Labels:   s.labels(),
	}
	if s.Machine {
		c.Env = append([]string{"container=docker"}, c.Env...)
		c.StopSignal = "SIGRTMIN+3" // systemd(1): start halt.target
		// The engine inside lays file systems over each other, which those of this one do not take.
		c.Volumes = map[string]struct{}{"/var/lib/docker": {}, "/var/lib/containerd": {}}
		if len(c.Cmd) == 0 {
			c.Cmd = []string{"/sbin/init"}
		}
		if s.Unified != "" {
			c.Cmd = []string{"/bin/sh", "-ec", ownGroup(s.Name) + "exec unshare --cgroup /bin/sh -ec '" + ownTree + "exec " + strings.Join(c.Cmd, " ") + "'"}
		}
	}
	return c
}

// hostConfig is the part that is the engine's.
func (s Spec) hostConfig() *container.HostConfig {
	h := &container.HostConfig{
		NetworkMode: container.NetworkMode(s.Network),
		ExtraHosts:  s.Hosts,
		Tmpfs:       map[string]string{},
	}
	if s.Init {
		h.Init = &s.Init
	}
	for path, options := range s.Tmpfs {
		h.Tmpfs[path] = options
	}
	for _, b := range s.Binds {
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeBind, Source: b.Source, Target: b.Target, ReadOnly: b.ReadOnly})
	}
	for _, v := range s.Volumes {
		h.Mounts = append(h.Mounts, mount.Mount{
			Type: mount.TypeVolume, Source: v.Name, Target: v.Target,
			VolumeOptions: &mount.VolumeOptions{Labels: s.labels()},
		})
	}
	if s.Machine {
		h.CapAdd = machineCapabilities()
		h.SecurityOpt = []string{"seccomp=unconfined", "apparmor=unconfined"}
		h.DeviceCgroupRules = []string{"a *:* rwm"}
		h.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyAlways}
		tree := "/sys/fs/cgroup"
		if s.Unified != "" {
			tree = s.Unified
			// Where the engine gives containers a view of their own of the tree, process 1 could not leave for
			// the machine's own group.
			h.CgroupnsMode = container.CgroupnsModeHost
			// Empty and not nil: nothing below /proc is closed, or a Docker engine inside cannot set up its
			// containers' networks.
			h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
		}
		h.Binds = append(h.Binds, tree+":/sys/fs/cgroup:rw")
		h.Tmpfs["/run"] = "exec"
		h.Tmpfs["/run/lock"] = ""
	}
	return h
}

// ownGroup puts process 1 into a control group of the machine's own, new at every boot: two machines that both
// took the tree's root for theirs would end each other's services.
func ownGroup(name string) string {
	return `tree=/sys/fs/cgroup
for old in "$tree/` + name + `".*; do find "$old" -depth -type d -exec rmdir {} \; 2>/dev/null || :; done
own="$tree/` + name + `.$(cat /proc/sys/kernel/random/uuid)"
mkdir "$own"
echo 0 > "$own/cgroup.procs"
`
}

// ownTree shows the machine that group as the root of all (cgroup_namespaces(7)).
const ownTree = `umount --lazy /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
`

// endpoint is the container's place on its network.
func (s Spec) endpoint() *network.NetworkingConfig {
	if s.Network == "" || s.Network == "none" || strings.HasPrefix(s.Network, "container:") {
		return nil
	}
	settings := &network.EndpointSettings{Aliases: s.Aliases}
	if s.Address.IsValid() {
		settings.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: s.Address.String()}
	}
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{s.Network: settings}}
}

// Create makes the container without starting it, so that files can be put into it
// first. A container of the same name is removed before.
func (e *Engine) Create(ctx context.Context, s Spec) error {
	if err := e.Remove(ctx, s.Name); err != nil {
		return err
	}
	_, err := e.api.ContainerCreate(ctx, s.config(), s.hostConfig(), s.endpoint(), nil, s.Name)
	if err != nil {
		return fmt.Errorf("creating container %s: %w", s.Name, err)
	}
	return nil
}

// Run creates the container, puts files into it and starts it.
func (e *Engine) Run(ctx context.Context, s Spec, files ...File) error {
	if err := e.Create(ctx, s); err != nil {
		return err
	}
	if len(files) > 0 {
		if err := e.CopyTo(ctx, s.Name, files); err != nil {
			return err
		}
	}
	return e.StartContainer(ctx, s.Name)
}

// StartContainer starts a container that was created or has stopped.
func (e *Engine) StartContainer(ctx context.Context, name string) error {
	if err := e.api.ContainerStart(ctx, name, container.StartOptions{}); err != nil {
		return fmt.Errorf("starting container %s: %w", name, err)
	}
	return nil
}
