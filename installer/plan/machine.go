package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/repos/release"
)

// siteFiles plans what needs the site's own files. It comes first, so that a wrong key or
// a missing disk is told before anything is installed, and in the fetch half, since the
// apply half may use no secrets from outside.
func (b *builder) siteFiles() {
	paths := b.Manifest.Paths
	for _, r := range b.own() {
		if r.siteFiles != nil {
			r.siteFiles(b)
		}
	}
	if b.Site.SSL {
		b.add(fetched("certificate", "certificate for "+b.Site.Name), files.CertificateKind(), files.CertificateParams{
			Name: b.Site.Name, Certificate: b.Public.Certificate, KeySecret: SecretCertificateKey,
			Path: paths.Certificate, KeyPath: paths.Key, Release: files.NamedSite})
	}
}

// machine plans what every host has whatever its roles: sources, packages, clock, engine.
func (b *builder) machine() {
	b.aptFiles()
	// The customer's authority before the sources, some of which are reached over TLS.
	if len(b.Public.Trust) > 0 {
		b.add(fetched("trusted-ca", "trusted certificate authorities"), system.TrustedCAKind(), system.TrustedCAParams{Certificates: b.Public.Trust})
	}
	// Sources with TLS only when the public authorities are there, or refreshing fails.
	b.sources("http")
	b.packages("certificates", "package ca-certificates", func(p release.Package) bool { return !p.Engine && p.Name == caCertificates })
	b.sources("https")
	b.packages("host", "packages of the host", func(p release.Package) bool { return !p.Engine && p.Name != caCertificates }, b.firewallPackages()...)
	b.clock()
	b.engine()
}

// aptFiles keeps others from changing what we look after: no automatic reboot, and no
// restart of the engine by needrestart; and tells apt of the proxy.
func (b *builder) aptFiles() {
	for _, f := range apt.QuietFiles() {
		b.file(f)
	}
	if proxy := b.Site.Network.Proxy; proxy != "" {
		b.file(files.FileParams{Path: "/etc/apt/apt.conf.d/90valtctl-proxy", Mode: "0644",
			Content: fmt.Sprintf("Acquire::http::Proxy %q;\nAcquire::https::Proxy %q;\n", proxy, proxy)})
	}
}

func (b *builder) file(f files.FileParams) {
	b.add(fetched("file"+f.Path, "file "+f.Path), files.FileKind(), f)
}

func (b *builder) sources(scheme string) {
	for _, s := range b.Manifest.Apt {
		uri := b.endpoint(b.codename(s.URI))
		if !strings.HasPrefix(uri, scheme+"://") {
			continue
		}
		suites := make([]string, len(s.Suites))
		for i, suite := range s.Suites {
			suites[i] = b.codename(suite)
		}
		b.add(fetched("apt-source/"+s.Name, "apt source "+uri), apt.SourceKind(), apt.SourceParams{
			Name: s.Name, URI: uri, Suites: suites, Components: s.Components, Keyring: s.Keyring, Key: s.Key, Replaces: s.Replaces})
	}
}

// codename fills in the one place an apt source of a manifest may have.
func (b *builder) codename(text string) string {
	return strings.ReplaceAll(text, "{codename}", b.facts.Codename)
}

// packages plans those packages of the release that are for this host's roles, and what
// the site needs beside them. The name sets the steps of one such choice apart from others'.
func (b *builder) packages(name, title string, want func(release.Package) bool, more ...apt.PackageWanted) {
	var params apt.PackagesParams
	for _, p := range b.Manifest.Packages {
		if !want(p) || !b.forRole(p.Roles) || b.otherTimeService(p.Name) {
			continue
		}
		params.Engine = p.Engine
		params.Packages = append(params.Packages, apt.PackageWanted{Name: p.Name, Version: p.Version})
	}
	for _, p := range more {
		if !slices.ContainsFunc(params.Packages, func(have apt.PackageWanted) bool { return have.Name == p.Name }) {
			params.Packages = append(params.Packages, p)
		}
	}
	if len(params.Packages) == 0 {
		return
	}
	params.Downgrade = b.Downgrade
	if b.Bundle {
		params.Bundle = SecretBundle
	}
	if params.Engine && b.Update {
		params.LastLook = b.recorders()
	}
	if b.Update {
		b.add(fetched("download/"+name, "download of the "+title), apt.DownloadKind(), params)
	}
	spec := b.disturbing("packages/"+name, title)
	if params.Engine {
		spec.Disrupts = step.Engine
	}
	b.add(spec, apt.PackagesKind(), params)
}

// after plans what an update ends with: a reboot where something asks for one, after which
// the host looks at everything again, and what has no use any more.
func (b *builder) after() {
	if !b.Update {
		return
	}
	spec := applied("reboot", "reboot, where one is wanted")
	spec.Disrupts = step.Host
	b.add(spec, system.RebootKind(), system.RebootParams{LastLook: b.recorders()})
	var prune docker.PruneParams
	for _, image := range slices.Sorted(maps.Keys(b.Manifest.Images)) {
		for _, platform := range slices.Sorted(maps.Keys(b.Manifest.Images[image].Platforms)) {
			p := b.Manifest.Images[image].Platforms[platform]
			prune.Images = append(prune.Images, docker.ImageDigests{Index: p.Index, Manifest: p.Manifest, Config: p.Config})
		}
	}
	b.ownChecks()
	b.add(applied("prune", "images without use"), docker.PruneKind(), prune)
}

// disturbing is a step that an installation makes in its fetch half, since what follows
// needs it, and an update not before the host is drained.
func (b *builder) disturbing(id, title string) step.Spec {
	if b.Update {
		return applied(id, title)
	}
	return fetched(id, title)
}

func (b *builder) forRole(roles []string) bool {
	return len(roles) == 0 || slices.ContainsFunc(roles, func(r string) bool { return b.host.Has(site.Role(r)) })
}

func (b *builder) clock() {
	if len(b.Site.Network.NTP) == 0 {
		return
	}
	var servers []string
	for _, s := range b.Site.Network.NTP {
		servers = append(servers, string(s))
	}
	b.add(b.disturbing("clock", "clock"), system.ClockKind(), system.ClockParams{Servers: servers, Service: b.clockService()})
}

// caCertificates is Ubuntu's package of the public certificate authorities.
const caCertificates = "ca-certificates"

// otherTimeService says whether a package would take the place of what keeps the clock already: the two exclude one
// another, and to remove one that works is nobody's wish.
func (b *builder) otherTimeService(name string) bool {
	return (name == system.Chrony || name == system.Timesyncd) && b.facts.TimeService != "" && b.facts.TimeService != name
}

// clockService is the time service that the host has, or that the release installs.
func (b *builder) clockService() string {
	if b.facts.TimeService != "" {
		return b.facts.TimeService
	}
	if slices.ContainsFunc(b.Manifest.Packages, func(p release.Package) bool { return p.Name == system.Chrony }) {
		return system.Chrony
	}
	return system.Timesyncd
}

// engine plans the Docker engine: its configuration before its packages, so that its first
// start already has the customer's address pool and proxy.
func (b *builder) engine() {
	cfg := docker.EngineConfigParams{LiveRestore: true, LogMaxSize: "20m", LogMaxFile: 5, Proxy: b.Site.Network.Proxy}
	if b.Update {
		cfg.LastLook = b.recorders()
	}
	if pool := b.Site.Network.DockerPool; pool.IsValid() {
		cfg.AddressPool = pool.String()
	}
	if registry := b.registry(); len(b.Public.Trust) > 0 && registry != "" {
		var chain string
		for _, c := range b.Public.Trust {
			chain += c.PEM
		}
		cfg.RegistryCAs = map[string]string{registry: chain}
	}
	spec := b.disturbing("engine-config", "configuration of the Docker engine")
	spec.Disrupts = step.Engine
	b.add(spec, docker.EngineConfigKind(), cfg)
	b.packages("engine", "packages of the Docker engine", func(p release.Package) bool { return p.Engine })
	b.add(b.disturbing("engine-service", "Docker engine runs"), docker.EngineServiceKind(), docker.EngineServiceParams{})
	if b.Site.Registry.Username != "" {
		b.add(fetched("registry-login", "login at "+b.registry()), docker.RegistryLoginKind(), docker.RegistryLoginParams{
			Registry: b.registry(), Username: b.Site.Registry.Username, PasswordSecret: SecretRegistryPassword})
	}
}

// registry is the host[:port] that images come from.
func (b *builder) registry() string { return b.Site.Network.Endpoint("docker.ipivs.com").String() }

func fetched(id, title string) step.Spec {
	return step.Spec{ID: id, Title: title, Half: step.Fetch}
}

func applied(id, title string) step.Spec {
	return step.Spec{ID: id, Title: title, Half: step.Apply}
}
