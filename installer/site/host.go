package site

// Host is one Ubuntu server.
type Host struct {
	Name       string   `json:"name" jsonschema:"required" jsonschema_description:"The host's short name, used by --host, plans and reports."`
	Address    Address  `json:"address" jsonschema:"required" jsonschema_description:"An IPv4 address or a name, as the other hosts and the clients reach it."`
	Roles      []Role   `json:"roles" jsonschema:"required" jsonschema_description:"What the host does: app, media or both. At most one host has app."`
	Recordings string   `json:"recordings,omitempty" jsonschema_description:"Folder of a media host where recordings go. It must be a mounted file system."`
	Wowza      Wowza    `json:"wowza,omitzero" jsonschema_description:"The licence of a media host's streaming engine."`
	Cameras    []Camera `json:"cameras,omitempty" jsonschema_description:"The cameras of a media host: addresses, ranges (10.0.9.20-10.0.9.39), or mappings."`
	// SSH is the site's ssh block with this host's own over it.
	SSH SSH `json:"ssh,omitzero" jsonschema_description:"What differs from the site's ssh block."`
}

// Wowza is the licence of one streaming engine.
type Wowza struct {
	License License `json:"license,omitempty" jsonschema_description:"electronic (the default) asks the licence servers. physical is a USB dongle and needs none."`
	KeyFile string  `json:"key_file,omitempty" jsonschema_description:"File that holds the licence key."`
}

// License is the kind of a streaming engine's licence.
type License string

// The kinds: a key that the licence servers confirm, or a USB dongle.
const (
	Electronic License = "electronic"
	Physical   License = "physical"
)

// Camera is one video device, reached from its media host.
type Camera struct {
	Name    string  `json:"name,omitempty" jsonschema_description:"A name for reports."`
	Address Address `json:"address" jsonschema:"required" jsonschema_description:"An IPv4 address or a name."`
	HTTP    uint16  `json:"http" jsonschema_description:"TCP port of its web interface. The default is 80."`
	RTSP    uint16  `json:"rtsp" jsonschema_description:"TCP port of its video stream. The default is 554."`
}

// SSH says how a host is reached.
type SSH struct {
	User             string `json:"user,omitempty" jsonschema_description:"The login's name. The default is the person's own, or what their ssh_config says."`
	Port             uint16 `json:"port" jsonschema_description:"TCP port. The default is 22."`
	Identity         string `json:"identity,omitempty" jsonschema_description:"File of the private key. Keys of a running SSH agent are tried as well."`
	Jump             []Jump `json:"jump,omitzero" jsonschema_description:"Hosts to go through, in order, each as user@host:port."`
	SudoPasswordFile string `json:"sudo_password_file,omitempty" jsonschema_description:"File that holds the password that sudo asks for."`
	KnownHosts       string `json:"known_hosts,omitempty" jsonschema_description:"File of the host keys to trust. The default is in the controller's state folder."`
}

// Jump is one host on the way. User may be empty.
type Jump struct {
	User string
	Host Address
	Port uint16
}

// String is the form of the site file: user@host:port.
func (j Jump) String() string {
	at := hostPort(j.Host, j.Port)
	if j.User == "" {
		return at
	}
	return j.User + "@" + at
}

// MarshalText is String.
func (j Jump) MarshalText() ([]byte, error) { return []byte(j.String()), nil }
