package release

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-version"

	"ipivs.com/valtctl/repos/release/allowed"
)

const wantPath = "an absolute path without .. and without a slash at its end"

// matches says whether all of text fits the pattern.
func matches(pattern, text string) bool {
	return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(text)
}

func (m *Manifest) validate(f *findings) {
	f.need(m.Schema == ManifestSchema, "schema", m.Schema, ManifestSchema)
	// The version is part of target paths, so it must also be a plain file name.
	_, err := version.NewVersion(m.Version)
	f.need(err == nil && matches(`[0-9][0-9A-Za-z.+~-]*`, m.Version), "version", m.Version, "a version such as 6.4.2")
	f.constraint("from", m.From)
	for _, role := range slices.Sorted(maps.Keys(m.Beside)) {
		f.role("beside."+role, role)
		f.constraint("beside."+role, m.Beside[role])
	}
	f.need(len(m.Ubuntu) > 0, "ubuntu", "", "the Ubuntu releases it runs on, such as 24.04")
	for i, u := range m.Ubuntu {
		f.need(matches(`\d\d\.\d\d`, u), fmt.Sprintf("ubuntu[%d]", i), u, "a VERSION_ID such as 24.04")
	}
	m.validateApt(f)
	m.validateImages(f)
	m.validateRoles(f)
	m.validateDatabase(f)
	m.validateHost(f)
	m.validatePlaces(f)
}

func (m *Manifest) validateApt(f *findings) {
	seen := map[string]bool{}
	for i, s := range m.Apt {
		at := fmt.Sprintf("apt[%d]", i)
		f.need(matches(`[a-z0-9][a-z0-9-]*`, s.Name) && !seen[s.Name], at+".name", s.Name, "a name of its own from a-z, 0-9 and -")
		seen[s.Name] = true
		u, err := url.Parse(strings.ReplaceAll(s.URI, "{codename}", "noble"))
		f.need(err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https"), at+".uri", s.URI, "an http or https address")
		f.allow(at+".uri", allowed.Archive(s.URI))
		f.need(len(s.Suites) > 0, at+".suites", s.Suites, "at least one suite")
		f.need(len(s.Components) > 0, at+".components", s.Components, "at least one component")
		f.each(at+".suites", s.Suites, allowed.Suite)
		f.each(at+".components", s.Components, allowed.Suite)
		f.need((s.Keyring == "") != (s.Key == ""), at+".keyring", s.Keyring, "either keyring or key")
		if s.Keyring != "" {
			f.allow(at+".keyring", allowed.Keyring(s.Keyring))
		}
		f.each(at+".replaces", s.Replaces, allowed.Replaced)
	}
	for i, p := range m.Packages {
		at := fmt.Sprintf("packages[%d]", i)
		f.need(matches(`[a-z0-9][a-z0-9+.-]+`, p.Name), at+".name", p.Name, "a Debian package name")
		f.allow(at+".name", allowed.Package(p.Name))
		f.need(p.Version == "" || matches(`[0-9][0-9A-Za-z.+~:-]*`, p.Version), at+".version", p.Version, "a Debian version")
		for j, r := range p.Roles {
			f.role(fmt.Sprintf("%s.roles[%d]", at, j), r)
		}
	}
}

func (m *Manifest) validateImages(f *findings) {
	for _, name := range slices.Sorted(maps.Keys(m.Images)) {
		at, img := "images."+name, m.Images[name]
		f.need(matches(`[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+`, img.Repository), at+".repository", img.Repository,
			"registry and repository without tag or digest, such as docker.ipivs.com/valt/web")
		f.allow(at+".repository", allowed.Repository(img.Repository))
		f.need(len(img.Platforms) > 0, at+".platforms", "", "at least linux/amd64")
		for _, platform := range slices.Sorted(maps.Keys(img.Platforms)) {
			at, p := at+".platforms."+platform, img.Platforms[platform]
			f.need(matches(`linux/[a-z0-9]+(/v\d)?`, platform), at, platform, "a platform such as linux/amd64")
			f.need(p.Index == "" || digest(p.Index), at+".index", p.Index, "sha256: and 64 hex digits, or nothing")
			f.need(digest(p.Manifest), at+".manifest", p.Manifest, "sha256: and 64 hex digits")
			f.need(digest(p.Config), at+".config", p.Config, "sha256: and 64 hex digits")
			f.need(p.Size > 0, at+".size", p.Size, "the compressed size in bytes")
		}
	}
}

func (m *Manifest) validateRoles(f *findings) {
	f.need(len(m.Roles) > 0, "roles", "", strings.Join(RoleNames(), ", ")+" or both")
	for _, name := range slices.Sorted(maps.Keys(m.Roles)) {
		at, r := "roles."+name, m.Roles[name]
		f.role(at, name)
		folder, file := path.Split(r.Compose)
		f.need(folder == "releases/"+m.Version+"/" && matches(`[a-z0-9][a-z0-9.-]*`, file), at+".compose", r.Compose,
			"a target of this release, such as "+composePath(m.Version, name))
		r.validateHealth(f, at)
		r.validateFiles(f, at)
	}
}

// composePath is where a release usually keeps a role's Compose file.
func composePath(version, role string) string {
	return "releases/" + version + "/compose." + role + ".yaml"
}

func (r Role) validateHealth(f *findings, at string) {
	for i, h := range r.Health {
		at := fmt.Sprintf("%s.health[%d]", at, i)
		f.need(h.Name != "", at+".name", h.Name, "what is asked, in the product's words")
		f.need(matches(`(https?|\$\{VALT_SCHEME\})://[^\s]+`, h.URL), at+".url", h.URL, "an http or https address; ${VALT_SCHEME} stands for either")
		f.allow(at+".url", allowed.HealthURL(h.URL))
		f.need(h.Status >= 100 && h.Status <= 599, at+".status", h.Status, "the HTTP status of a healthy answer, such as 200")
		d, err := time.ParseDuration(h.Within)
		f.need(err == nil && d > 0, at+".within", h.Within, "a duration such as 90s or 5m")
	}
}

func (r Role) validateFiles(f *findings, at string) {
	for i, d := range r.Directories {
		at := fmt.Sprintf("%s.directories[%d]", at, i)
		f.place(allowed.Site{}, allowed.Directory, at+".path", d.Path)
		f.allow(at+".mode", allowed.Mode(d.Mode))
		f.owner(at, d.UID, d.GID)
		f.allow(at+".uid", allowed.Owner(d.Path, d.UID, d.GID, d.Mode))
	}
	seen := map[string]bool{}
	for i, p := range r.Passwords {
		at := fmt.Sprintf("%s.passwords[%d]", at, i)
		f.need(matches(`[a-z0-9][a-z0-9_-]*`, p.Name) && !seen[p.Name], at+".name", p.Name, "a name of its own from a-z, 0-9, _ and -")
		seen[p.Name] = true
		f.place(allowed.Site{}, allowed.Password, at+".path", p.Path)
		f.need(p.Length == 0 || p.Length >= 16 && p.Length <= 128, at+".length", p.Length, "16 to 128 characters, or nothing for 32")
		f.owner(at, p.UID, p.GID)
	}
	for i, c := range r.Files {
		at := fmt.Sprintf("%s.files[%d]", at, i)
		f.place(allowed.Site{}, allowed.File, at+".path", c.Path)
		f.allow(at+".mode", allowed.Mode(c.Mode))
	}
}

// validateHost checks what a release says of the host around its containers.
func (m *Manifest) validateHost(f *findings) {
	for _, name := range slices.Sorted(maps.Keys(m.Settings)) {
		f.need(matches(`[a-z][a-z0-9_]*`, name), "settings."+name, name, "a name from a-z, 0-9 and _")
	}
	f.need(slices.Contains([]string{"", "wait", "ignore"}, m.Drain.App), "drain.app", m.Drain.App, "wait or ignore")
	f.need(m.Drain.QuietSeconds >= 0, "drain.quiet_seconds", m.Drain.QuietSeconds, "seconds, 0 or more")
	for i, p := range m.Drain.ControlPorts {
		f.need(p >= 1 && p <= 65535, fmt.Sprintf("drain.control_ports[%d]", i), p, "a TCP port")
		f.allow(fmt.Sprintf("drain.control_ports[%d]", i), allowed.ControlPort(p))
	}
	f.place(allowed.Site{}, allowed.SiteFile, "paths.certificate", m.Paths.Certificate)
	f.place(allowed.Site{}, allowed.SiteFile, "paths.key", m.Paths.Key)
	f.place(allowed.Site{}, allowed.SiteFile, "paths.licence", m.Paths.Licence)
	f.place(allowed.Site{}, allowed.SiteFile, "paths.compose", m.Paths.Compose)
	if d := m.Dongle; d != (Dongle{}) {
		f.need(matches(`[0-9a-f]{4}`, d.Vendor), "dongle.vendor", d.Vendor, "idVendor as four hex digits")
		f.need(matches(`([0-9a-f]{4})?`, d.Product), "dongle.product", d.Product, "idProduct as four hex digits, or nothing")
		if f.path("dongle.device", d.Device) {
			f.allow("dongle.device", allowed.Device(d.Device))
		}
		f.need(d.Service != "", "dongle.service", d.Service, "the media service that uses it")
	}
}

func (f *findings) constraint(field, text string) {
	if text == "" {
		return
	}
	_, err := version.NewConstraint(text)
	f.need(err == nil, field, text, "a constraint such as >= 6.2, < 7")
}

// path wants a path's form, and says whether it has it.
func (f *findings) path(field, p string) bool {
	ok := path.IsAbs(p) && path.Clean(p) == p && p != "/" && !strings.ContainsAny(p, "\x00\n")
	f.need(ok, field, p, wantPath)
	return ok
}

// place wants a path that a release may use so.
func (f *findings) place(site allowed.Site, use allowed.Use, field, p string) {
	if f.path(field, p) {
		f.allow(field, site.Path(use, p))
	}
}

func (f *findings) owner(at string, uid, gid int) {
	f.need(uid >= 0, at+".uid", uid, "a numeric user, 0 or more")
	f.need(gid >= 0, at+".gid", gid, "a numeric group, 0 or more")
}

// digest says whether text is a SHA-256 digest as registries write it.
func digest(text string) bool {
	digits, ok := strings.CutPrefix(text, "sha256:")
	raw, err := hex.DecodeString(digits)
	return ok && err == nil && len(raw) == 32 && digits == strings.ToLower(digits)
}
