// Package facts says what one host has: Ubuntu release, packages, engine, containers,
// disks, clock. Gather only reads, mostly from files, so that it costs milliseconds.
// What follows from the facts is for installer/plan and installer to decide.
package facts

import "time"

// Facts is one host at one moment.
type Facts struct {
	Hostname       string            `json:"hostname"`
	MachineID      string            `json:"machine_id"`
	HostKeys       []string          `json:"host_keys,omitempty"` // fingerprints of its SSH host keys: "SHA256:…"
	OS             OS                `json:"os"`
	Arch           string            `json:"arch"`           // as dpkg names it: "amd64"
	Kernel         string            `json:"kernel"`         // uname -r
	Virtualization string            `json:"virtualization"` // systemd-detect-virt's word
	CPUs           int               `json:"cpus"`
	MemoryBytes    int64             `json:"memory_bytes"`
	Filesystems    []Filesystem      `json:"filesystems"`
	Addresses      []string          `json:"addresses"`
	Packages       map[string]string `json:"packages,omitempty"`    // installed: "name:arch" to version
	DpkgStatus     string            `json:"dpkg_status,omitempty"` // with Options.Full: /var/lib/dpkg/status
	// Keyring is the distribution's keyring of its archive, with Options.Full.
	Keyring []byte `json:"keyring,omitempty"`
	// Agents are the digests of the programs of ours that the host keeps, with Options.Full.
	Agents []string     `json:"agents,omitempty"`
	Engine *EngineFacts `json:"engine,omitempty"` // nil: no Docker engine answers
	// SnapDocker is where Docker lies as a snap, which cannot see /etc or /srv and keeps its data
	// elsewhere; empty: there is none.
	SnapDocker     string      `json:"snap_docker,omitempty"`
	Clock          Clock       `json:"clock"`
	BootID         string      `json:"boot_id"` // changes with every boot, containers included
	UptimeSeconds  float64     `json:"uptime_seconds"`
	RebootRequired bool        `json:"reboot_required"`
	RebootPackages []string    `json:"reboot_packages,omitempty"` // those that asked for it
	GateClosed     bool        `json:"gate_closed,omitempty"`     // no new sessions come in, now or from the next boot on
	USB            []USBDevice `json:"usb,omitempty"`
	ScheduleKey    string      `json:"schedule_key,omitempty"` // public half of the key for unattended runs
	RevokedKeys    []string    `json:"revoked_keys,omitempty"` // of unattended runs, that it takes no more (KeyID)
	Installed      *Installed  `json:"installed,omitempty"`    // nil: valtctl has installed nothing
}

// GateRules is where a host keeps the rules of a closed gate. They are written before the
// kernel gets them and removed after, so a closed gate always has the file.
const GateRules = "/var/lib/valtctl/drain.nft"

// OS is what /etc/os-release says.
type OS struct {
	ID        string `json:"id"`
	VersionID string `json:"version_id"`
	Codename  string `json:"codename"`
	Pretty    string `json:"pretty"`
}

// Filesystem is one mounted file system with space of its own.
type Filesystem struct {
	Mount  string `json:"mount"`
	Device string `json:"device"`
	Type   string `json:"type"`
	Size   int64  `json:"size"` // bytes
	Free   int64  `json:"free"` // bytes an ordinary user may write
}

// EngineFacts is the Docker engine and what it holds.
type EngineFacts struct {
	Version    string      `json:"version"`
	Root       string      `json:"root"`
	Containers []Container `json:"containers"`
	Images     []Image     `json:"images,omitempty"` // with Options.Full
}

// Container is one container, running or not.
type Container struct {
	Name    string            `json:"name"`
	Image   string            `json:"image"`
	ImageID string            `json:"image_id"`
	State   string            `json:"state"`
	Health  string            `json:"health,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
}

// Clock is the host's clock beside its idea of being synchronised.
type Clock struct {
	Now          time.Time `json:"now"`
	Synchronized bool      `json:"synchronized"`
	// Service is what is installed to keep it: "chrony" or "systemd-timesyncd"; empty: neither.
	Service string `json:"service,omitempty"`
	// NTS are the time servers that chrony, where it runs, asks with keys that it gets over TLS first
	// (TCP 4460, RFC 8915).
	NTS []string `json:"nts,omitempty"`
}

// USBDevice is one device of sysfs's bus/usb.
type USBDevice struct {
	Vendor  string `json:"vendor"`
	Product string `json:"product"`
	Name    string `json:"name,omitempty"`
}

// Installed is what a finished transaction left in /var/lib/valtctl/host.json.
type Installed struct {
	Site       string   `json:"site"`
	Host       string   `json:"host"`
	Roles      []string `json:"roles"`
	Release    string   `json:"release"`
	Previous   string   `json:"previous,omitempty"` // the release before, to which a rollback goes
	PlanDigest string   `json:"plan_digest"`
	Time       string   `json:"time"` // RFC 3339, UTC
	// ReplacedBy is the site's host that has taken this one's place; empty: none has.
	ReplacedBy string `json:"replaced_by,omitempty"`
}
