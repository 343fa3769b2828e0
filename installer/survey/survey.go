// Package survey asks one host what a check wants to know beyond its facts: who listens
// where, whether apt and dpkg are well, how fast the disk writes, what expires. Unlike
// facts it may take seconds and run programs; it changes nothing and leaves nothing. What
// the answers mean for a site is for installer/check.
package survey

import (
	"net/netip"
	"time"

	"ipivs.com/valtctl/installer/step/apt"
)

// Question names one of the survey's questions, in Reply.Problems.
type Question string

// The questions. Each is asked beside the others and fails alone.
const (
	AskListeners    Question = "listeners"
	AskPackages     Question = "packages"
	AskDownload     Question = "download"
	AskRoutes       Question = "routes"
	AskNetworks     Question = "networks"
	AskImages       Question = "images"
	AskWrites       Question = "writes"
	AskInodes       Question = "inodes"
	AskReboot       Question = "reboot"
	AskFirewall     Question = "firewall"
	AskProxy        Question = "proxy"
	AskResolvers    Question = "resolvers"
	AskTime         Question = "time"
	AskCertificates Question = "certificates"
	AskKeys         Question = "keys"
	AskLists        Question = "lists"
	AskSupport      Question = "support"
	AskCgroups      Question = "cgroups"
	AskSources      Question = "sources"
	AskOutdated     Question = "outdated"
	AskForward      Question = "forward"
	AskInside       Question = "inside"
)

// Request says what is wanted beyond what is always asked.
type Request struct {
	// Folders are those whose file system's inodes are counted; one that is not there
	// stands for the nearest folder above it.
	Folders []string `json:"folders,omitempty"`
	// Write are folders whose write speed is measured, unless a recording may be running
	// or NoWrite says so.
	Write   []string `json:"write,omitempty"`
	NoWrite bool     `json:"no_write,omitempty"`
	// EnginePasswords are files on the host that may hold the password of the media
	// engine's REST interface. EngineUser is its login; empty: wowza.DefaultUser.
	EnginePasswords []string `json:"engine_passwords,omitempty"`
	EngineUser      string   `json:"engine_user,omitempty"`
	Certificates    []string `json:"certificates,omitempty"` // PEM files on the host
	// Packages are those whose download is reckoned, "name" or "name=version", with what
	// they need. None: apt is not asked.
	Packages []string `json:"packages,omitempty"`
	// Names are looked up from inside containers that run. None: nobody is asked.
	Names []string `json:"names,omitempty"`
}

// Reply is what the host answered. A question that could not be answered is in Problems
// with its reason; its field is then empty or incomplete.
type Reply struct {
	Listeners    []Listener          `json:"listeners,omitempty"`
	Packages     Packages            `json:"packages"`
	Download     *Download           `json:"download,omitempty"`
	Subnets      []Subnet            `json:"subnets,omitempty"`
	Images       []string            `json:"images,omitempty"` // digests of the engine's images (docker.Held)
	Writes       []Write             `json:"writes,omitempty"`
	WriteSkipped string              `json:"write_skipped,omitempty"` // why nothing was written
	Inodes       []Inodes            `json:"inodes,omitempty"`
	Reboot       Reboot              `json:"reboot"`
	Firewalls    []string            `json:"firewalls,omitempty"` // active: "ufw", "firewalld"
	Proxies      []Proxy             `json:"proxies,omitempty"`
	Resolvers    []string            `json:"resolvers,omitempty"` // addresses
	Time         TimeService         `json:"time"`
	Certificates []Certificate       `json:"certificates,omitempty"`
	Keys         []Key               `json:"keys,omitempty"`
	Lists        []List              `json:"lists,omitempty"`
	Support      *Support            `json:"support,omitempty"`
	Cgroups      Cgroups             `json:"cgroups"`
	Sources      Sources             `json:"sources"`
	Outdated     []Outdated          `json:"outdated,omitempty"`
	Forward      []ForwardBlock      `json:"forward,omitempty"`
	Inside       []Inside            `json:"inside,omitempty"`
	Problems     map[Question]string `json:"problems,omitempty"`
}

// Listener is one listening socket.
type Listener struct {
	Protocol string     `json:"protocol"` // tcp, udp
	Address  netip.Addr `json:"address"`  // what it is bound to
	Port     uint16     `json:"port"`
	PID      int        `json:"pid,omitempty"`
	Program  string     `json:"program,omitempty"`
	// Container is whose published port this is, or whose process listens; Site is the
	// container's label of that name.
	Container string `json:"container,omitempty"`
	Site      string `json:"site,omitempty"`
}

// Packages is how apt and dpkg are.
type Packages struct {
	Damage []string `json:"damage,omitempty"` // what dpkg has left half done, a line each
	Broken string   `json:"broken,omitempty"` // what apt-get check says
	Lock   string   `json:"lock,omitempty"`   // who holds a lock
	Held   []string `json:"held,omitempty"`   // packages that a person asked to leave alone
}

// Download is what apt would fetch for Request.Packages.
type Download struct {
	Bytes    int64    `json:"bytes"`
	Packages []string `json:"packages,omitempty"` // name_version of each
	// Unknown are those of the request that the host's package lists do not have yet.
	Unknown []string `json:"unknown,omitempty"`
}

// Subnet is a network that the host sends somewhere other than its default gateway.
type Subnet struct {
	Prefix    netip.Prefix `json:"prefix"`
	Interface string       `json:"interface,omitempty"`
	Docker    string       `json:"docker,omitempty"` // name of the Docker network it belongs to
	Site      string       `json:"site,omitempty"`   // the Docker network's label of that name
}

// Write is how fast one folder takes what is written.
type Write struct {
	Folder         string        `json:"folder"`
	Bytes          int64         `json:"bytes"`
	Took           time.Duration `json:"took"`
	BytesPerSecond int64         `json:"bytes_per_second"`
	Err            string        `json:"err,omitempty"`
}

// Inodes are those of one folder's file system. Total is 0 where it makes them as needed.
type Inodes struct {
	Folder string `json:"folder"`
	Total  uint64 `json:"total"`
	Free   uint64 `json:"free"`
}

// Reboot is whether the host waits for one, and whether it would do it by itself.
type Reboot struct {
	Required  bool     `json:"required"`
	Packages  []string `json:"packages,omitempty"`
	Automatic bool     `json:"automatic"`
	// At is the time of an automatic one: "02:00", "now".
	At string `json:"at,omitempty"`
	// Engine are the engine's packages that unattended-upgrades may upgrade, and so restart it.
	Engine []string `json:"engine,omitempty"`
}

// Proxy is a proxy that the host is set to use. Its URL has no login.
type Proxy struct {
	Where string `json:"where"` // "apt", "/etc/environment"
	URL   string `json:"url"`
}

// TimeService is what keeps the clock; Name is empty where nothing does.
type TimeService struct {
	Name    string   `json:"name,omitempty"` // "systemd-timesyncd"
	Servers []string `json:"servers,omitempty"`
	// Synchronized is the service's own word, where it has one beside the kernel's; nil: it has none.
	Synchronized *bool `json:"synchronized,omitempty"`
}

// Certificate is one file of the request, by its first certificate.
type Certificate struct {
	Path     string     `json:"path"`
	Missing  bool       `json:"missing,omitempty"`
	Names    []string   `json:"names,omitempty"`
	NotAfter *time.Time `json:"not_after,omitempty"`
	Err      string     `json:"err,omitempty"`
}

// Key is one OpenPGP key that apt trusts. Expires is nil where it never does.
type Key struct {
	File        string     `json:"file"`
	Fingerprint string     `json:"fingerprint,omitempty"`
	Owner       string     `json:"owner,omitempty"`
	Expires     *time.Time `json:"expires,omitempty"`
	Revoked     bool       `json:"revoked,omitempty"`
	// Used says whether a source names the key's file, beside lying where apt trusts
	// every key.
	Used bool   `json:"used"`
	Err  string `json:"err,omitempty"`
}

// List is one repository's index as apt keeps it.
type List struct {
	Name       string     `json:"name"` // its file's
	Origin     string     `json:"origin,omitempty"`
	Codename   string     `json:"codename,omitempty"`
	ValidUntil *time.Time `json:"valid_until,omitempty"`
	Err        string     `json:"err,omitempty"`
}

// Support is how long the host's Ubuntu gets updates.
type Support struct {
	LTS    bool      `json:"lts"`
	Until  time.Time `json:"until"`
	Paid   time.Time `json:"paid,omitzero"` // with Ubuntu Pro (ESM)
	Source string    `json:"source"`        // where this is known from
}

// Cgroups are the host's control groups.
type Cgroups struct {
	Version int      `json:"version"`         // 1, also beside 2; or 2; 0: not known
	Asked   []string `json:"asked,omitempty"` // of the kernel's command line
}

// Sources is what apt makes of its sources and settings (apt.SourcesState).
type Sources struct {
	Unreadable string        `json:"unreadable,omitempty"`
	Clash      []apt.Listing `json:"clash,omitempty"`
	Variants   []string      `json:"variants,omitempty"`
}

// Outdated is a process whose program or library was replaced since it started.
type Outdated struct {
	PID     int    `json:"pid"`
	Program string `json:"program,omitempty"`
	Unit    string `json:"unit,omitempty"`  // systemd's; empty: none
	File    string `json:"file"`            // what was replaced, the first of it
	Whole   bool   `json:"whole,omitempty"` // File is the program itself
}

// ForwardBlock is a chain of the packet filter that stands in the way of packets to and from containers.
type ForwardBlock struct {
	Where string `json:"where"` // "table inet old, chain forward"
	Why   string `json:"why"`   // "its policy is drop"
	// Sure says that it lets nothing new through. Otherwise it depends on the packet.
	Sure bool   `json:"sure,omitempty"`
	Undo string `json:"undo"` // the command that takes it away
}

// Inside is what a container's own name servers answered.
type Inside struct {
	Container string   `json:"container"`
	Network   string   `json:"network,omitempty"`
	Servers   []string `json:"servers,omitempty"`
	Failed    []string `json:"failed,omitempty"` // a name and why, each
}
