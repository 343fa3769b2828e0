package site

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"
	"time"
)

// parse reads the fields, then judges what several of them say together.
func parse(src source, data []byte) (*Site, error) {
	r := newReader(src)
	s := defaults()
	if v, ok := r.root(data); ok {
		r.site(v, s)
		r.judge(s)
	}
	if all := inOrder(r.found); len(all) > 0 {
		joined := make([]error, len(all))
		for i, e := range all {
			joined[i] = e
		}
		return nil, errors.Join(joined...)
	}
	s.file, s.lines = src.name, r.lines
	s.Warnings = inOrder(r.warnings)
	return s, nil
}

func defaults() *Site {
	return &Site{
		Firewall: FirewallOff,
		SSH:      SSH{Port: 22},
		Updates: Updates{
			Source: Online, Wave: Wave{Percent: 25}, MinMediaServing: unset, ConfirmWithin: Duration(10 * time.Minute), HostWithin: Duration(2 * time.Hour),
		},
	}
}

// unset marks a number whose default depends on the rest of the file.
const unset = -1

// site reads the whole file. The ssh block comes before hosts, which start from it.
func (r *reader) site(v value, s *Site) {
	r.object(v, []field{
		{key: "site", read: scalar(r, &s.ID, parseID), need: "site: and a short name, such as st-marys"},
		{key: "name", read: scalar(r, (*Address)(&s.Name), parseSiteName)},
		{key: "ssl", read: scalar(r, &s.SSL, parseBool), need: "ssl: true for ports 443 and 444, or ssl: false for ports 80 and 1935"},
		{key: "tls", read: func(v value) { r.tls(v, &s.TLS) }},
		{key: "release", read: func(v value) { r.release(v, &s.Release) }},
		{key: "registry", read: func(v value) { r.registry(v, &s.Registry) }},
		{key: "ssh", read: func(v value) { r.ssh(v, &s.SSH) }},
		{key: "hosts", read: func(v value) { r.hosts(v, s) }, need: "hosts: and a list with each server's name, address and roles"},
		{key: "replaced", read: func(v value) { r.replaced(v, s) }},
		{key: "clients", read: list(r, &s.Clients, parseNetwork), need: "clients: and the networks where people watch from, such as [10.0.0.0/16]"},
		{key: "admins", read: list(r, &s.Admins, parseNetwork)},
		{key: "beam", read: func(v value) { s.Beam = r.beam(v) }},
		{key: "cloud", read: func(v value) { s.Cloud = r.cloud(v) }},
		{key: "firewall", read: scalar(r, &s.Firewall, parseFirewall)},
		{key: "network", read: func(v value) { r.network(v, &s.Network) }},
		{key: "updates", read: func(v value) { r.updates(v, &s.Updates) }},
		{key: "checks", read: func(v value) { s.Checks = r.checks(v) }},
		{key: "hooks", read: func(v value) { s.Hooks = r.hooks(v) }},
		{key: "backup", read: func(v value) { s.Backup = r.backup(v) }},
		{key: "settings", read: func(v value) { s.Settings = r.settings(v) }},
	})
}

func (r *reader) tls(v value, t *TLS) {
	r.object(v, []field{
		{key: "certificate", read: scalar(r, &t.Certificate, r.file)},
		{key: "key_file", read: scalar(r, &t.KeyFile, r.file)},
		{key: "pkcs12", read: scalar(r, &t.PKCS12, r.file)},
		{key: "password_file", read: scalar(r, &t.PasswordFile, r.file)},
	})
	if t.PKCS12 != "" && (t.Certificate != "" || t.KeyFile != "") {
		r.at(join(v.path, "pkcs12"), "stands beside certificate or key_file, and holds both", "keep pkcs12, or the two others")
	}
}

func (r *reader) release(v value, rel *Release) {
	r.object(v, []field{
		{key: "channel", read: scalar(r, &rel.Channel, parseID)},
		{key: "version", read: scalar(r, &rel.Version, parseVersion)},
		{key: "url", read: scalar(r, &rel.URL, parseReleaseURL)},
		{key: "root", read: scalar(r, &rel.Root, r.file)},
	})
}

func (r *reader) registry(v value, reg *Registry) {
	r.object(v, []field{
		{key: "username", read: scalar(r, &reg.Username, parseText)},
		{key: "password_file", read: scalar(r, &reg.PasswordFile, r.file)},
	})
}

func (r *reader) ssh(v value, s *SSH) {
	r.object(v, []field{
		{key: "user", read: scalar(r, &s.User, parseUser)},
		{key: "port", read: scalar(r, &s.Port, parsePort)},
		{key: "identity", read: scalar(r, &s.Identity, r.file)},
		{key: "jump", read: list(r, &s.Jump, parseJump)},
		{key: "sudo_password_file", read: scalar(r, &s.SudoPasswordFile, r.file)},
		{key: "known_hosts", read: scalar(r, &s.KnownHosts, r.file)},
	})
}

func (r *reader) hosts(v value, s *Site) {
	for _, item := range r.items(v) {
		h := Host{SSH: s.SSH}
		r.host(item, &h)
		s.Hosts = append(s.Hosts, h)
	}
}

func (r *reader) host(v value, h *Host) {
	r.object(v, []field{
		{key: "name", read: scalar(r, &h.Name, parseID), need: "name: and a short name, such as media1"},
		{key: "address", read: scalar(r, &h.Address, parseAddress), need: "address: and the host's IPv4 address or name"},
		{key: "roles", read: list(r, &h.Roles, parseRole), need: "roles: " + rolesExample()},
		{key: "recordings", read: scalar(r, &h.Recordings, parseHostPath)},
		{key: "wowza", read: func(v value) { r.wowza(v, &h.Wowza) }},
		{key: "cameras", read: func(v value) { h.Cameras = r.cameras(v) }},
		{key: "ssh", read: func(v value) { r.ssh(v, &h.SSH) }},
	})
	for _, role := range specs() {
		if h.Has(role.Role) && role.defaults != nil {
			role.defaults(h)
		}
	}
}

func (r *reader) wowza(v value, w *Wowza) {
	r.object(v, []field{
		{key: "license", read: scalar(r, &w.License, parseLicense)},
		{key: "key_file", read: scalar(r, &w.KeyFile, r.file)},
	})
}

func (r *reader) beam(v value) *Beam {
	b := &Beam{}
	r.object(v, []field{
		{key: "devices", read: list(r, &b.Devices, parseNetwork), need: "devices: and the networks of the mobile devices, such as [10.0.20.0/24]"},
	})
	return b
}

func (r *reader) cloud(v value) *Cloud {
	c := &Cloud{}
	r.object(v, []field{
		{key: "app", read: scalar(r, &c.App, parseAddress), need: "app: and the name of the cloud's application server"},
		{key: "tunnel", read: scalar(r, &c.Tunnel, parseAddress)},
	})
	if c.Tunnel == "" {
		c.Tunnel = c.App
	}
	return c
}

func (r *reader) network(v value, n *Network) {
	r.object(v, []field{
		{key: "dns", read: list(r, &n.DNS, parseIP)},
		{key: "ntp", read: list(r, &n.NTP, parseAddress)},
		{key: "proxy", read: scalar(r, &n.Proxy, parseProxy)},
		{key: "trust", read: list(r, &n.Trust, r.file)},
		{key: "docker_pool", read: scalar(r, &n.DockerPool, parsePool)},
		{key: "endpoints", read: func(v value) { n.Endpoints = r.endpoints(v) }},
	})
}

// endpoints takes only names of the vendor's page: a misspelt one would change nothing.
func (r *reader) endpoints(v value) map[string]Endpoint {
	all := map[string]Endpoint{}
	var fields []field
	for _, name := range EndpointNames() {
		fields = append(fields, field{key: name, read: func(v value) {
			if e, ok := one(r, v, parseEndpoint); ok {
				all[name] = e
			}
		}})
	}
	r.object(v, fields)
	return all
}

func (r *reader) updates(v value, u *Updates) {
	r.object(v, []field{
		{key: "source", read: scalar(r, &u.Source, parseSource)},
		{key: "windows", read: list(r, &u.Windows, parseWindow)},
		{key: "timezone", read: scalar(r, &u.Timezone, parseTimezone)},
		{key: "blackouts", read: list(r, &u.Blackouts, parseBlackout)},
		{key: "canary", read: scalar(r, &u.Canary, parseText)},
		{key: "wave", read: scalar(r, &u.Wave, parseWave)},
		{key: "max_failures", read: scalar(r, &u.MaxFailures, parseCount)},
		{key: "min_media_serving", read: scalar(r, &u.MinMediaServing, parseCount)},
		{key: "host_within", read: scalar(r, &u.HostWithin, parseDuration)},
		{key: "confirm_within", read: scalar(r, &u.ConfirmWithin, parseDuration)},
		{key: "notify", read: func(v value) { r.notify(v, &u.Notify) }},
	})
}

func (r *reader) backup(v value) *Backup {
	b := &Backup{Keep: 5}
	r.object(v, []field{
		{key: "dir", read: scalar(r, &b.Dir, parseHostPath)},
		{key: "keep", read: scalar(r, &b.Keep, parsePositive)},
		{key: "recipient", read: scalar(r, &b.Recipient, parseRecipient)},
	})
	return b
}

// settings takes any key: the release says which it knows.
func (r *reader) settings(v value) map[string]string {
	entries, ok := r.entries(v)
	if !ok {
		return nil
	}
	all := map[string]string{}
	for _, e := range entries {
		if text, ok := r.text(e.value); ok {
			all[e.key] = text
		}
	}
	return all
}

// parsePool accepts a network that Docker can cut into smaller ones.
func parsePool(s string) (netip.Prefix, error) {
	p, err := parseNetwork(s)
	if err == nil && p.Bits() > 24 {
		return p, &wrong{NetworkText(p) + " is too small for Docker's own networks", "write a network of /24 or larger, such as 192.168.240.0/20"}
	}
	return p, err
}

// parseHostPath accepts a folder on a host, which is not the controller's.
func parseHostPath(s string) (string, error) {
	if odd := strangePath(s, false, "/srv/valt"); odd != nil {
		return "", odd
	}
	if s != "" && strings.Trim(s, "/") == "" {
		return "", &wrong{fmt.Sprintf("%q is the whole file system of the host", s), "write a folder, where a disk of its own is mounted, such as /srv/valt"}
	}
	if strings.HasPrefix(s, "~") {
		return "", &wrong{fmt.Sprintf("%q starts at a home folder, and nobody is at home on the host", s), "write the path from the root, such as /srv/valt"}
	}
	if !path.IsAbs(s) || path.Clean(s) == "/" {
		return "", &wrong{"it is not an absolute folder of the host", "write a path such as /srv/valt"}
	}
	return path.Clean(s), nil
}
