// Package site parses and validates the site file, the one description of a VALT site:
// its hosts, cameras, client networks and policy. It exists so that everything after it
// works with typed values and defaults, and so that a person who wrote a wrong line
// learns all mistakes at once, each with file, line, field and what to write instead.
// It judges the form alone: it asks no host, looks up no name, and reads no file but the
// site file itself, except in NeededForInstall, which looks whether the files are there.
package site

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/textfile"
)

// Site is a whole site file, defaults applied and paths resolved. Written as JSON or
// YAML it is again a site file that parses to the same Site.
type Site struct {
	ID       string            `json:"site" jsonschema:"required" jsonschema_description:"The site's short name: lower-case letters, digits and hyphens. It names the journal and the lock."`
	Name     string            `json:"name,omitempty" jsonschema_description:"The name that clients type. It must match the certificate. With cloud it is the cloud's name unless given."`
	SSL      bool              `json:"ssl" jsonschema:"required" jsonschema_description:"true: clients use ports 443 and 444. false: ports 80 and 1935."`
	TLS      TLS               `json:"tls,omitzero" jsonschema_description:"The certificate for name. Needed to install with ssl: true."`
	Release  Release           `json:"release" jsonschema_description:"Which release of VALT to install. The default is the channel stable."`
	Registry Registry          `json:"registry,omitzero" jsonschema_description:"The login at the image registry."`
	SSH      SSH               `json:"ssh,omitzero" jsonschema_description:"How to reach the hosts over SSH. Any host may override any of it."`
	Hosts    []Host            `json:"hosts" jsonschema:"required" jsonschema_description:"The servers."`
	Replaced []Replaced        `json:"replaced,omitempty" jsonschema_description:"Servers that others have taken the place of, until their recordings are moved or have aged."`
	Clients  []netip.Prefix    `json:"clients" jsonschema:"required" jsonschema_description:"The networks or addresses where people watch from."`
	Admins   []netip.Prefix    `json:"admins" jsonschema_description:"The networks or addresses where administrators sit. The default is clients."`
	Beam     *Beam             `json:"beam,omitempty" jsonschema_description:"Only where BEAM is licensed."`
	Cloud    *Cloud            `json:"cloud,omitempty" jsonschema_description:"Only for VALT Cloud, where the application server is the vendor's."`
	Firewall Firewall          `json:"firewall" jsonschema_description:"off (the default) leaves the hosts' firewall alone. managed needs admins."`
	Network  Network           `json:"network,omitzero" jsonschema_description:"The customer's network services and what stands in for the vendor's names."`
	Updates  Updates           `json:"updates" jsonschema_description:"Where releases come from and how they are rolled out."`
	Checks   []SiteCheck       `json:"checks,omitempty" jsonschema_description:"The site's own checks, asked when a host has switched to something new and before that is confirmed."`
	Hooks    *Hooks            `json:"hooks,omitempty" jsonschema_description:"Programs on the hosts that are told of a drain and of its end."`
	Backup   *Backup           `json:"backup,omitempty" jsonschema_description:"Where backups of the application server's database are kept."`
	Settings map[string]string `json:"settings,omitempty" jsonschema_description:"Values for the settings that the release declares."`

	// Warnings are oddities that do not keep the file from being used, in the file's
	// order. Their kind is problem.Check.
	Warnings []*problem.Error `json:"-"`

	file  string
	lines map[string]int // field path to line
}

// TLS names the files of the site's certificate, on the controller.
type TLS struct {
	Certificate  string `json:"certificate,omitempty" jsonschema_description:"File of the certificate and those between it and its authority: PEM in any order, or DER."`
	KeyFile      string `json:"key_file,omitempty" jsonschema_description:"File of the private key: PEM or DER, with or without a passphrase."`
	PKCS12       string `json:"pkcs12,omitempty" jsonschema_description:"PKCS#12 file (.pfx, .p12) of certificate, chain and key, in place of certificate and key_file."`
	PasswordFile string `json:"password_file,omitempty" jsonschema_description:"File that holds the password of pkcs12, or the passphrase of key_file. Without it a person at a terminal is asked."`
}

// Release says what to install and whose releases to trust.
type Release struct {
	Channel string `json:"channel,omitempty" jsonschema_description:"A channel: its newest release. Not together with version."`
	Version string `json:"version,omitempty" jsonschema_description:"One release, exactly. Not together with channel."`
	URL     string `json:"url,omitempty" jsonschema_description:"Replaces the vendor's release repository."`
	Root    string `json:"root,omitempty" jsonschema_description:"File of the TUF root metadata to trust instead of the vendor's."`
}

// Registry is the login at docker.ipivs.com or what stands in for it.
type Registry struct {
	Username     string `json:"username,omitempty" jsonschema_description:"The login's name."`
	PasswordFile string `json:"password_file,omitempty" jsonschema_description:"File that holds the password."`
}

// Beam says where the mobile devices of BEAM are.
type Beam struct {
	Devices []netip.Prefix `json:"devices" jsonschema:"required" jsonschema_description:"The networks or addresses of the mobile devices."`
}

// Cloud is the application server of VALT Cloud.
type Cloud struct {
	App    Address `json:"app" jsonschema:"required" jsonschema_description:"The name of the cloud's application server."`
	Tunnel Address `json:"tunnel" jsonschema_description:"The tunnel's peer, if its name is not app."`
}

// Firewall says who looks after the hosts' firewall.
type Firewall string

// The two ways: not valtctl, or valtctl with a table of its own.
const (
	FirewallOff     Firewall = "off"
	FirewallManaged Firewall = "managed"
)

// Backup says where the application host keeps its backups.
type Backup struct {
	Dir       string `json:"dir,omitempty" jsonschema_description:"Folder on the application host, as an absolute path."`
	Keep      int    `json:"keep" jsonschema_description:"How many backups are kept. The default is 5."`
	Recipient string `json:"recipient,omitempty" jsonschema_description:"An age recipient that backups are encrypted to."`
}

// maxFile caps a site file, in bytes: thousands of cameras, each with a name, fit in.
const maxFile = 1 << 20

// ReadFile is a site file as it is, which may have 1 MiB.
func ReadFile(path string) ([]byte, error) { return textfile.ReadRaw(path, maxFile) }

// Load reads the site file at path. Home is the folder that ~ stands for; empty where
// there is none. The error joins one *problem.Error of kind Input per mistake.
func Load(path, home string) (*Site, error) {
	data, err := ReadFile(path)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Input, Doing: "reading the site file", Object: path, Err: err,
			Fix: "name the site file with --site, or make one with valtctl init"}
	}
	base, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("finding the folder of %s: %w", path, err)
	}
	return parse(sourceOf(path, base, home), data)
}

// Parse reads a site file from memory. Name is the file's path, for messages and as
// the start of relative paths; home is as for Load.
func Parse(name string, data []byte, home string) (*Site, error) {
	return parse(sourceOf(name, filepath.Dir(name), home), data)
}

func sourceOf(name, base, home string) source {
	return source{name: name, base: base, home: home, windows: runtime.GOOS == "windows"}
}

// File is the path of the site file, as it was given.
func (s *Site) File() string { return s.file }

// Position is "file:line" of a field, such as hosts[0].address, or of the nearest field
// around it where it is not in the file.
func (s *Site) Position(field string) string {
	return fmt.Sprintf("%s:%d", s.file, nearestLine(s.lines, field))
}

// App is the application host. A site in VALT Cloud has none.
func (s *Site) App() (Host, bool) {
	for _, h := range s.Hosts {
		if h.Has(App) {
			return h, true
		}
	}
	return Host{}, false
}

// Media lists the media hosts in the file's order, one that is also the application
// host included.
func (s *Site) Media() []Host { return s.With(Media) }

// With lists the hosts that have a role, in the file's order.
func (s *Site) With(r Role) []Host {
	return slices.DeleteFunc(slices.Clone(s.Hosts), func(h Host) bool { return !h.Has(r) })
}

// Host finds a host by its name.
func (s *Site) Host(name string) (Host, bool) {
	for _, h := range s.Hosts {
		if h.Name == name {
			return h, true
		}
	}
	return Host{}, false
}

// Scheme is "https" or "http".
func (s *Site) Scheme() string {
	if s.SSL {
		return "https"
	}
	return "http"
}

// WebPort is the TCP port of the web application (the vendor's page, Basic Configuration).
func (s *Site) WebPort() uint16 {
	if s.SSL {
		return 443
	}
	return 80
}

// StreamPort is the TCP port of the video streams (the vendor's page, Basic Configuration).
func (s *Site) StreamPort() uint16 {
	if s.SSL {
		return 444
	}
	return 1935
}
