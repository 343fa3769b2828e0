package release

// Manifest is one release of VALT as its vendor signed it: everything an
// installation needs that is not the site's own. It is the TUF target
// releases/<version>/manifest.json. What is VALT's and may change with a release
// stands here and never in code (docs/assumptions.md).
type Manifest struct {
	Schema  string `json:"schema"`  // "valtctl/release/v1"
	Version string `json:"version"` // ordered by hashicorp/go-version

	// From constrains the version an update may start from; Beside constrains
	// which versions of the other role may serve at the same time. Both are in
	// hashicorp/go-version's constraint syntax.
	From   string `json:"from,omitempty"`
	Beside Beside `json:"beside"`

	Ubuntu []string `json:"ubuntu"` // releases it runs on, as VERSION_ID: "22.04"

	Apt      []AptSource        `json:"apt"`
	Packages []Package          `json:"packages"`
	Images   map[string]Image   `json:"images"` // by the name the Compose files use
	Roles    map[string]Role    `json:"roles"`  // "app", "media"
	Settings map[string]Setting `json:"settings,omitempty"`
	Drain    Drain              `json:"drain"`
	// Database is what the release says of the database that its application keeps.
	Database Database `json:"database,omitzero"`
	// Migrates says that the release changes the database, without saying how: an older word, with which it is
	// refused. Database.Migrate says how.
	Migrates bool   `json:"migrates_database,omitempty"`
	Paths    Paths  `json:"paths"`
	Dongle   Dongle `json:"dongle,omitzero"`
}

// Database is the one container that keeps what the application writes, and how a release changes that.
type Database struct {
	Image    string `json:"image"`    // its image, by the manifest's name for it; one service uses it, beside the migration's
	User     string `json:"user"`     // its administrator's name, over the socket inside the container
	Password string `json:"password"` // the name of that one's password, among the role's
	// From constrains the versions whose database the release can take over, in hashicorp/go-version's constraint
	// syntax; empty: all that it updates from.
	From    string  `json:"from,omitempty"`
	Migrate Migrate `json:"migrate,omitzero"`
	// Irreversible says that the release before cannot serve over the changed database: from the confirmation on only
	// a restored backup leads back.
	Irreversible bool `json:"irreversible,omitempty"`
}

// Migrate says that a release changes the database. Without it, the database's image is to be that of the releases
// that it updates from.
type Migrate struct {
	// Service of the role's Compose file runs once, to its end, beside the release's database and before everything
	// else of it; empty: the database's own start does all.
	Service string `json:"service,omitempty"`
	Within  string `json:"within"` // Go duration that it may take at most
}

// Paths says where on a host the site's own files belong.
type Paths struct {
	Certificate string `json:"certificate"` // PEM chain, leaf first
	Key         string `json:"key"`         // PEM private key
	Licence     string `json:"licence"`     // the media engine's licence key
	Compose     string `json:"compose"`     // folder of the roles' Compose files
}

// Dongle is the USB licence key of a physical licence: Service of the media role's
// Compose file gets Device passed through.
type Dongle struct {
	Vendor  string `json:"vendor"`            // idVendor, four hex digits (sysfs)
	Product string `json:"product,omitempty"` // idProduct; empty: any
	Device  string `json:"device"`            // "/dev/bus/usb"
	Service string `json:"service"`
}

// Beside holds, by the name of a role, constraints on the versions of its hosts that this
// release works with. A role without one is not held to any.
type Beside map[string]string

// AptSource is one deb822 source. URI's host is a name of the vendor's network
// page, which the site file may replace; {codename} in URI and Suites stands for the
// host's Ubuntu codename.
type AptSource struct {
	Name       string   `json:"name"` // file name below sources.list.d: "ubuntu"
	URI        string   `json:"uri"`
	Suites     []string `json:"suites"`
	Components []string `json:"components"`
	// Exactly one of these: a keyring the distribution brings, or an armoured key.
	Keyring string `json:"keyring,omitempty"`
	Key     string `json:"key,omitempty"`
	// Replaces lists default files of the distribution that this source stands
	// in for, so that nothing is listed twice.
	Replaces []string `json:"replaces,omitempty"`
}

// Package is one apt package. Version is exact for packages of apt.ipivs.com and
// empty for those of Ubuntu and Docker, which are resolved once and frozen.
type Package struct {
	Name    string   `json:"name"`
	Version string   `json:"version,omitempty"`
	Roles   []string `json:"roles,omitempty"`  // empty: every role
	Engine  bool     `json:"engine,omitempty"` // part of the Docker engine: a step of its own
}

// Image is one container image by digest. Digests are "sha256:<hex>".
type Image struct {
	Repository string                   `json:"repository"` // docker.ipivs.com/valt/web
	Platforms  map[string]ImagePlatform `json:"platforms"`  // "linux/amd64"
}

// ImagePlatform names one platform's image by all three of its digests: an engine's
// image ID is the config digest with the classic store, and the manifest or index digest
// with the containerd store. Index is empty where the image has none.
type ImagePlatform struct {
	Index    string `json:"index,omitempty"`
	Manifest string `json:"manifest"`
	Config   string `json:"config"`
	Size     int64  `json:"size"` // bytes, compressed, config and layers
}

// Role is what a release says of one role.
type Role struct {
	// Compose is the TUF target of the role's Compose file.
	Compose string   `json:"compose"`
	Health  []Health `json:"health"`
	// Directories are made before the containers start.
	Directories []Directory `json:"directories,omitempty"`
	// Passwords are made on the host, root-only, and kept across updates.
	Passwords []Password `json:"passwords,omitempty"`
	// Files are written from templates over the site's values and the settings.
	Files []ConfigFile `json:"files,omitempty"`
}

// Directory is a folder on the host. Mode is octal text, "0750".
type Directory struct {
	Path string `json:"path"`
	Mode string `json:"mode"`
	UID  int    `json:"uid,omitempty"`
	GID  int    `json:"gid,omitempty"`
}

// Password is a secret between components, of Length characters (default 32).
type Password struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Length int    `json:"length,omitempty"`
	UID    int    `json:"uid,omitempty"`
	GID    int    `json:"gid,omitempty"`
}

// ConfigFile is a file with ${VARIABLE} places, as in Compose files.
type ConfigFile struct {
	Path    string `json:"path"`
	Mode    string `json:"mode"`
	Content string `json:"content"`
}

// Setting is a value a site may fill under settings:.
type Setting struct {
	Default     string `json:"default"`
	Description string `json:"description"`
}

// Health is one question whose answer says that a role serves. URL is asked from the
// host itself; a reply is healthy with Status and a body that contains Contains.
type Health struct {
	Name     string `json:"name"`
	URL      string `json:"url"` // ${VALT_SCHEME} and other variables are filled in
	Status   int    `json:"status"`
	Contains string `json:"contains,omitempty"`
	Within   string `json:"within"` // Go duration to wait at most after a start
}

// Drain says how sessions are kept out and waited for (contracts.md).
type Drain struct {
	Method       string `json:"method"`
	ControlPorts []int  `json:"control_ports,omitempty"`
	QuietSeconds int    `json:"quiet_seconds,omitempty"`
	App          string `json:"app,omitempty"` // wait (default) or ignore
}
