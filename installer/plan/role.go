package plan

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/repos/release"
	"ipivs.com/valtctl/repos/release/allowed"
)

// role is how a role is planned. Most of it is the release's; what is not stands in
// role_<name>.go.
type role struct {
	name site.Role
	// disrupts is what replacing one of its containers interrupts.
	disrupts step.Disruption
	// variables are what the release's texts may use of it, on every host; nil: nothing.
	variables func(in Input, h site.Host) map[string]string
	// siteFiles adds fetch steps that need the site's own files; nil: none.
	siteFiles func(b *builder)
	// prepare adds apply steps before the containers; nil: none.
	prepare func(b *builder)
	// adjust changes a container before it is planned; nil: not at all.
	adjust func(b *builder, c *docker.ContainerParams)
	// watch are files of the site that its containers read when they start; nil: none.
	watch func(b *builder) []string
	// recorders is how a host with it is asked whether it records; nil: it never does.
	recorders func(m *release.Manifest) *docker.LastLook
	// samples are hosts with it, each of another kind, as a site file has them; without is what
	// stands in a site file that has none. A release is judged with them before it is published.
	samples []string
	without string
}

// roles lists every role. A test of cmd/valtctl fails if one of installer/site is missing.
func roles() []role { return []role{appRole(), mediaRole()} }

// Plans says whether there is a plan for the role.
func Plans(r site.Role) bool {
	return slices.ContainsFunc(roles(), func(known role) bool { return known.name == r })
}

// ComposeRoles are the roles whose Compose files a plan of the site is made with: those that
// the release is for, and those that a host has, which the release must be for as well.
func ComposeRoles(s *site.Site, m *release.Manifest) []site.Role {
	return site.RolesThat(func(r site.RoleSpec) bool {
		_, spoken := m.Roles[string(r.Role)]
		return spoken || len(s.With(r.Role)) > 0
	})
}

// own are the roles of this host.
func (b *builder) own() []role {
	return slices.DeleteFunc(roles(), func(r role) bool { return !b.host.Has(r.name) })
}

// fetch plans the images of the role.
func (r role) fetch(b *builder) {
	for _, img := range b.stacks[r.name].Images {
		if img.Username, img.PasswordSecret = b.Site.Registry.Username, b.passwordSecret(); b.Bundle {
			img.Username, img.PasswordSecret, img.Bundle = "", "", SecretBundle
		}
		b.add(fetched("image/"+img.Name, "image "+img.Repository), docker.ImageKind(), img)
	}
}

// passwordSecret is empty for a registry without a login.
func (b *builder) passwordSecret() string {
	if b.Site.Registry.Username == "" {
		return ""
	}
	return SecretRegistryPassword
}

// serve plans the apply half of a role: its folders, passwords and files, then its
// containers in the order they depend on each other, then the proof that it serves.
func (b *builder) serve(r role) {
	m := b.Manifest.Roles[string(r.name)]
	for _, d := range m.Directories {
		b.add(applied("directory"+d.Path, "folder "+d.Path), files.DirectoryKind(), files.DirectoryParams{Path: d.Path, Mode: d.Mode, UID: d.UID, GID: d.GID, Release: true})
	}
	for _, p := range m.Passwords {
		b.add(applied("password/"+p.Name, "password "+p.Name), files.PasswordKind(),
			files.PasswordParams{Path: p.Path, Length: p.Length, UID: p.UID, GID: p.GID, Release: true})
	}
	for _, f := range m.Files {
		text, err := Expand(f.Content, b.vars)
		if err != nil {
			b.fail(fmt.Errorf("file %s of the release: %w", f.Path, err))
		}
		b.add(applied("file"+f.Path, "file "+f.Path), files.FileKind(), files.FileParams{Path: f.Path, Mode: f.Mode, Content: text, Release: files.NamedFile})
	}
	compose := b.composePath(r)
	b.add(applied("file"+compose, "file "+compose), files.FileKind(),
		files.FileParams{Path: compose, Mode: "0644", Content: string(b.Compose[r.name]), Release: files.NamedSite})
	if r.prepare != nil {
		r.prepare(b)
	}
	b.containers(r)
	b.health(r, m.Health)
}

func (b *builder) composePath(r role) string {
	return path.Join(b.Manifest.Paths.Compose, string(r.name)+".yaml")
}

// stack reads the role's Compose file for this host.
func (b *builder) stack(ctx context.Context, r role) (Stack, error) {
	endpoints := map[string]string{}
	for name, e := range b.Site.Network.Endpoints {
		endpoints[name] = e.String()
	}
	return Services(ctx, Compose{
		File: b.composePath(r), Target: b.Manifest.Roles[string(r.name)].Compose, Own: b.allowed(), Content: b.Compose[r.name], Site: b.Site.ID, Role: string(r.name), Disrupts: r.disrupts, Release: b.Manifest.Version,
		Vars: b.vars, Images: b.Manifest.Images, Platform: "linux/" + b.facts.Arch, Endpoints: endpoints,
	})
}

// containers plans the networks and containers of a role.
func (b *builder) containers(r role) {
	for _, n := range b.stacks[r.name].Networks {
		b.add(applied("network/"+n.Name, "network "+n.Name), docker.NetworkKind(), n)
	}
	b.still(r)
	for _, c := range b.ordered(r) {
		c.Watch = b.siteOwn(r, c.Spec.Mounts)
		c.SameImage = b.Update && b.isDatabase(c) && !b.migrates()
		if r.adjust != nil {
			r.adjust(b, &c)
		}
		c.LastLook = b.lastLook(c)
		spec := applied("container/"+c.Service, "container "+c.Name)
		spec.Disrupts = c.Disrupts
		b.add(spec, docker.ContainerKind(), c)
		if b.isDatabase(c) {
			b.migrate(r)
		}
	}
}

// lastLook is how a host is asked, right before its media engine is stopped, whether that
// records. A release of which nobody knows how to ask has none, and no update either.
func (b *builder) lastLook(c docker.ContainerParams) *docker.LastLook {
	if c.Disrupts != step.Engine {
		return nil
	}
	return b.recorders()
}

// recorders is how this host is asked whether it records; nil: it has no engine that does.
func (b *builder) recorders() *docker.LastLook {
	for _, r := range b.own() {
		if r.recorders != nil {
			return r.recorders(b.Manifest)
		}
	}
	return nil
}

// siteOwn are the files of the site that a container reads when it starts, among its
// mounts. It must be replaced when one changes, and the engine sees only the folder that
// is mounted.
func (b *builder) siteOwn(r role, mounts []docker.ContainerMount) []string {
	var files []string
	if b.Site.SSL {
		files = append(files, b.Manifest.Paths.Certificate, b.Manifest.Paths.Key)
	}
	if r.watch != nil {
		files = append(files, r.watch(b)...)
	}
	return slices.DeleteFunc(files, func(file string) bool {
		return !slices.ContainsFunc(mounts, func(m docker.ContainerMount) bool {
			return file == m.Source || strings.HasPrefix(file, m.Source+"/")
		})
	})
}

// healthID is the id of the step that asks whether a role serves.
func healthID(r site.Role) string { return "health/" + string(r) }

func (b *builder) health(r role, checks []release.Health) {
	params := docker.HealthParams{ServerName: b.Site.Name}
	if b.Site.SSL {
		params.TrustPEM = b.Public.Certificate
	}
	for _, c := range checks {
		url, err := Expand(c.URL, b.vars)
		if err != nil {
			b.fail(fmt.Errorf("health check %s of the release: %w", c.Name, err))
		}
		b.refuse("health check "+c.Name, allowed.HealthAt(url, b.Site.Name, string(b.host.Address)))
		params.Checks = append(params.Checks, docker.HealthCheck{Name: c.Name, URL: url, Status: c.Status, Contains: c.Contains, Within: c.Within})
	}
	if len(params.Checks) > 0 {
		b.add(applied(healthID(r.name), "health of the role "+string(r.name)), docker.HealthKind(), params)
	}
}
