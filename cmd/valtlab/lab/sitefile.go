package lab

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// siteFile is the site file of the practice site, as far as it uses it
// (contracts: "The site file").
type siteFile struct {
	Site     string       `yaml:"site"`
	Name     string       `yaml:"name"`
	SSL      bool         `yaml:"ssl"`
	TLS      siteTLS      `yaml:"tls"`
	Release  siteRelease  `yaml:"release"`
	Registry siteRegistry `yaml:"registry"`
	Hosts    []siteHost   `yaml:"hosts"`
	SSH      *siteSSH     `yaml:"ssh,omitempty"`
	Clients  []string     `yaml:"clients,flow"`
	Admins   []string     `yaml:"admins,flow"`
	Network  siteNetwork  `yaml:"network"`
}

type siteTLS struct {
	Certificate string `yaml:"certificate"`
	KeyFile     string `yaml:"key_file"`
}

type siteRelease struct {
	Channel string `yaml:"channel"`
	URL     string `yaml:"url"`
	Root    string `yaml:"root"`
}

type siteRegistry struct {
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
}

type siteHost struct {
	Name       string     `yaml:"name"`
	Address    string     `yaml:"address"`
	Roles      []string   `yaml:"roles,flow"`
	Recordings string     `yaml:"recordings,omitempty"`
	Wowza      *siteWowza `yaml:"wowza,omitempty"`
	Cameras    []string   `yaml:"cameras,flow,omitempty"`
	SSH        *siteSSH   `yaml:"ssh,omitempty"`
}

type siteWowza struct {
	License string `yaml:"license"`
	KeyFile string `yaml:"key_file"`
}

type siteSSH struct {
	User         string   `yaml:"user,omitempty"`
	Port         int      `yaml:"port,omitempty"`
	Identity     string   `yaml:"identity,omitempty"`
	KnownHosts   string   `yaml:"known_hosts,omitempty"`
	Jump         []string `yaml:"jump,flow,omitempty"`
	SudoPassword string   `yaml:"sudo_password_file,omitempty"`
}

type siteNetwork struct {
	NTP   []string `yaml:"ntp,flow"`
	Trust []string `yaml:"trust,flow"`
}

// siteOf is the site file of the lab's standard hosts. All paths are relative to it.
func (l *Lab) siteOf(s state) siteFile {
	file := siteFile{
		Site: "practice", Name: SiteName, SSL: true,
		TLS:      siteTLS{Certificate: "site.pem", KeyFile: "site.key"},
		Release:  siteRelease{Channel: "stable", URL: "https://" + l.World().String() + "/valt/", Root: "root.json"},
		Registry: siteRegistry{Username: RegistryUser, PasswordFile: "registry_password"},
		SSH:      &siteSSH{User: DefaultUser, Identity: "id_ed25519", KnownHosts: "known_hosts"},
		Clients:  []string{l.Subnet().String()},
		Admins:   []string{l.Subnet().String()},
		Network:  siteNetwork{NTP: []string{l.World().String()}, Trust: []string{"ca.crt"}},
	}
	assigned := map[string][]string{}
	for _, c := range l.cameras(s) {
		assigned[c.Media] = append(assigned[c.Media], c.Address.String())
	}
	for _, h := range s.Hosts {
		if isStandard(h.Name) {
			file.Hosts = append(file.Hosts, siteHostOf(s, h, assigned[h.Name]))
		}
	}
	return file
}

// siteHostOf is one host's entry, with what differs from the site's ssh: alone.
func siteHostOf(s state, h Host, cameras []string) siteHost {
	entry := siteHost{Name: h.Name, Address: h.Address.String(), Roles: h.Roles, Cameras: cameras}
	if h.HasRole(RoleMedia) {
		entry.Recordings = RecordingsPath
		entry.Wowza = &siteWowza{License: "electronic", KeyFile: licencePath(h)}
	}
	var ssh siteSSH
	if h.User != DefaultUser {
		ssh.User = h.User
	}
	if h.Port != 22 {
		ssh.Port = h.Port
	}
	if h.Sudo == SudoPassword {
		ssh.SudoPassword = "sudo_password"
	}
	if h.Behind != "" {
		for _, jump := range s.Hosts {
			if jump.Name == h.Behind {
				ssh.Jump = []string{jump.User + "@" + jump.Address.String() + ":" + strconv.Itoa(jump.Port)}
			}
		}
	}
	if ssh.User+ssh.SudoPassword != "" || ssh.Port != 0 || ssh.Jump != nil {
		entry.SSH = &ssh
	}
	return entry
}

func licencePath(h Host) string { return "licences/" + h.Name }

// writeSite writes the practice site's site file and the licence keys it names.
func (l *Lab) writeSite(s state) error {
	for _, h := range s.Hosts {
		if err := l.writeLicence(h); err != nil {
			return err
		}
	}
	text, err := l.siteText(s)
	if err != nil {
		return err
	}
	return writeFile(l.Path("site.yaml"), text, 0o644)
}

func (l *Lab) siteText(s state) ([]byte, error) {
	text, err := yaml.Marshal(l.siteOf(s))
	if err != nil {
		return nil, fmt.Errorf("writing the site file: %w", err)
	}
	return text, nil
}

// StandardSite is the site file of a lab that has just been brought up with so many media
// hosts and cameras, for who wants to know of its site without bringing it up.
func (l *Lab) StandardSite(media, cameras int) ([]byte, error) {
	s := state{Cameras: cameras}
	s.set(l.standardHosts(UpOptions{Media: media}))
	return l.siteText(s)
}

// writeLicence gives a media host a licence key that looks like one of Wowza's and is
// none.
func (l *Lab) writeLicence(h Host) error {
	if !h.HasRole(RoleMedia) {
		return nil
	}
	_, err := keepFile(l.Path(licencePath(h)), 0o600, func() ([]byte, error) {
		return []byte("EPBU4-PRACT-ICE00-" + strings.ToUpper(h.Name) + "\n"), nil
	})
	return err
}

// Fragment is a host's entry for a site file beside the lab's own.
func (l *Lab) Fragment(h Host) (string, error) {
	s, err := l.load()
	if err != nil {
		return "", err
	}
	text, err := yaml.Marshal([]siteHost{siteHostOf(s, h, nil)})
	if err != nil {
		return "", fmt.Errorf("writing a host's entry: %w", err)
	}
	return string(text), nil
}

// writeKnownHosts lists every host's key under its address and its name.
func (l *Lab) writeKnownHosts(s state) error {
	var text bytes.Buffer
	for _, h := range s.Hosts {
		public, err := l.sshKey("hosts/"+h.Name+"/ssh_host_ed25519_key", h.Name)
		if err != nil {
			return err
		}
		names := []string{h.Address.String(), h.Name}
		if h.Port != 22 {
			for i, name := range names {
				names[i] = fmt.Sprintf("[%s]:%d", name, h.Port)
			}
		}
		fmt.Fprintf(&text, "%s %s\n", strings.Join(names, ","), strings.TrimSpace(string(public)))
	}
	return writeFile(l.Path("known_hosts"), text.Bytes(), 0o644)
}
