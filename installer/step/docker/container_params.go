package docker

import (
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/release/allowed"
)

// The labels that mark a container, network or volume as ours.
const (
	labelPrefix  = "com.ipivs.valtctl."
	LabelSite    = labelPrefix + "site"
	LabelRole    = labelPrefix + "role"
	LabelRelease = labelPrefix + "release" // that made it; an unchanged container keeps it
	LabelSpec    = labelPrefix + "spec"    // SHA-256 of ContainerSpec as JSON
	labelConfig  = labelPrefix + "config"  // ContainerSpec as JSON, to tell what changed
	labelWatch   = labelPrefix + "watch"   // watched files and their SHA-256 as JSON
)

// ContainerParams is one wanted container. Spec decides with the image and the watched
// files whether a running one is replaced; the rest does not.
type ContainerParams struct {
	Name    string       `json:"name"` // "valt-web"
	Site    string       `json:"site"`
	Role    string       `json:"role"`
	Release string       `json:"release"`
	Project string       `json:"project"` // Compose's project: "valt"
	Service string       `json:"service"`
	Compose string       `json:"compose"` // the Compose file on the host
	Image   ImageDigests `json:"image"`
	// Repository is where the image came from, for people.
	Repository string        `json:"repository"`
	Spec       ContainerSpec `json:"spec"`
	// Own is what the site's owner has chosen for this host; the release may ask for that too.
	Own allowed.Site `json:"own,omitzero"`
	// Watch lists files of the host whose content belongs to the container beside those
	// it binds: when one changes, the container is replaced.
	Watch []string `json:"watch,omitempty"`
	// Disrupts is what replacing a running one interrupts: container or engine.
	Disrupts step.Disruption `json:"disrupts"`
	// LastLook, of a container that records, is how the host is asked right before one that
	// runs is stopped.
	LastLook *LastLook `json:"last_look,omitempty"`
	// SameImage says that a container which is there runs the image already, whatever else of it changes: it is the
	// database's, and nobody said that its data are changed.
	SameImage bool `json:"same_image,omitempty"`
	// Within is how long it may take to be healthy, a Go duration; empty: 2m.
	Within string `json:"within,omitempty"`
}

// ContainerSpec is what the container is made of. Empty fields are left out of its JSON,
// so that a field this program learns later does not replace what runs.
type ContainerSpec struct {
	Entrypoint  []string          `json:"entrypoint,omitempty"`
	Command     []string          `json:"command,omitempty"`
	Env         map[string]string `json:"env,omitempty"` // never secrets
	User        string            `json:"user,omitempty"`
	GroupAdd    []string          `json:"group_add,omitempty"`
	WorkingDir  string            `json:"working_dir,omitempty"`
	Hostname    string            `json:"hostname,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Restart     string            `json:"restart,omitempty"` // Docker's word: "always", "on-failure:3"
	StopSignal  string            `json:"stop_signal,omitempty"`
	StopSeconds *int              `json:"stop_seconds,omitempty"`
	Init        *bool             `json:"init,omitempty"`
	ReadOnly    bool              `json:"read_only,omitempty"`
	Health      *ContainerHealth  `json:"health,omitempty"`

	NetworkMode string             `json:"network_mode,omitempty"` // "host", "none"; empty: Networks
	Networks    []ContainerNetwork `json:"networks,omitempty"`
	Ports       []ContainerPort    `json:"ports,omitempty"`
	ExtraHosts  []string           `json:"extra_hosts,omitempty"` // "name:address"
	DNS         []string           `json:"dns,omitempty"`

	Mounts            []ContainerMount  `json:"mounts,omitempty"`
	Tmpfs             map[string]string `json:"tmpfs,omitempty"` // path to options
	Devices           []ContainerDevice `json:"devices,omitempty"`
	DeviceCgroupRules []string          `json:"device_cgroup_rules,omitempty"`
	CapAdd            []string          `json:"cap_add,omitempty"`
	CapDrop           []string          `json:"cap_drop,omitempty"`
	SecurityOpt       []string          `json:"security_opt,omitempty"`
	Sysctls           map[string]string `json:"sysctls,omitempty"`
	Ulimits           []ContainerUlimit `json:"ulimits,omitempty"`
	ShmSize           int64             `json:"shm_size,omitempty"`  // bytes
	Memory            int64             `json:"mem_limit,omitempty"` // bytes
	PidsLimit         int64             `json:"pids_limit,omitempty"`
	LogDriver         string            `json:"log_driver,omitempty"`
	LogOptions        map[string]string `json:"log_options,omitempty"`
}

// ContainerHealth is a health check inside the container. Durations are Go's.
type ContainerHealth struct {
	Test        []string `json:"test"`
	Interval    string   `json:"interval,omitempty"`
	Timeout     string   `json:"timeout,omitempty"`
	StartPeriod string   `json:"start_period,omitempty"`
	Retries     int      `json:"retries,omitempty"`
}

// ContainerNetwork is one network the container is in.
type ContainerNetwork struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"`
	Address string   `json:"address,omitempty"` // IPv4; empty: the engine chooses
}

// ContainerPort is one published port.
type ContainerPort struct {
	HostIP    string `json:"host_ip,omitempty"`
	Published int    `json:"published"`
	Target    int    `json:"target"`
	Protocol  string `json:"protocol"` // "tcp", "udp"
}

// ContainerMount is a bind, which must exist, or a named volume.
type ContainerMount struct {
	Type        string            `json:"type"` // "bind", "volume"
	Source      string            `json:"source"`
	Target      string            `json:"target"`
	ReadOnly    bool              `json:"read_only,omitempty"`
	Propagation string            `json:"propagation,omitempty"`
	NoCopy      bool              `json:"no_copy,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"` // of a volume made for it
}

// ContainerDevice is a device node, or a folder of them, passed through.
type ContainerDevice struct {
	Source      string `json:"source"`
	Target      string `json:"target"`
	Permissions string `json:"permissions,omitempty"` // "rwm"
}

// ContainerUlimit is one resource limit.
type ContainerUlimit struct {
	Name string `json:"name"`
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}
