package cases

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/goccy/go-yaml"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/cmd/valtlab/smoke"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

// mixedSite is the name of the site file of the mixed fleet.
const mixedSite = "mixed-fleet"

// mixedHosts are the media servers of the fleet: of each Ubuntu, with both image stores, with sudo and with
// sudo-rs, which ask for a password. In a sample they are the oldest and the newest.
func mixedHosts(sample bool) []lab.Host {
	media := []string{lab.RoleMedia}
	hosts := []lab.Host{
		{Name: "fleet-oldest", Roles: media, Ubuntu: "22.04", ImageStore: lab.GraphDriver, Sudo: lab.SudoPassword},
		{Name: "fleet-newest", Roles: media, Ubuntu: ubuntu.Newest, ImageStore: lab.Containerd, Sudo: lab.SudoPassword},
	}
	if sample {
		return hosts
	}
	return append(hosts,
		lab.Host{Name: "fleet-fresh", Roles: media, Ubuntu: "24.04", ImageStore: lab.Containerd},
		lab.Host{Name: "fleet-upgraded", Roles: media, Ubuntu: ubuntu.Newest, ImageStore: lab.GraphDriver})
}

// mixedFleet installs, updates and takes back a site whose servers have nothing in common but the release, first
// from the vendor's servers and then by one bundle that holds what changed.
func mixedFleet(ctx context.Context, e *Env) (err error) {
	f := &fleet{Env: e, names: []string{"app1"}}
	defer func() { err = errors.Join(err, f.leave(context.WithoutCancel(ctx))) }()
	if err := f.raise(ctx); err != nil {
		return err
	}
	if err := e.Timed("install", func() error {
		_, err := e.Expect(ctx, 0, "install", "--yes", "--site", f.site)
		return err
	}); err != nil {
		return err
	}
	if err := f.isMixed(ctx); err != nil {
		return err
	}
	if err := f.thereAndBack(ctx, "from the vendor's servers"); err != nil {
		return err
	}
	bundle, err := f.oneDelta(ctx)
	if err != nil {
		return err
	}
	return f.thereAndBack(ctx, "by one bundle", "--bundle", bundle)
}

// fleet is the site.
type fleet struct {
	*Env
	media []lab.Host
	names []string // of all hosts, the application server first
	site  string
	smoke smoke.Site
}

// raise makes the hosts and the site's file.
func (f *fleet) raise(ctx context.Context) error {
	if err := f.leave(ctx); err != nil { // what a run left that was killed
		return err
	}
	var err error
	if f.media, err = f.Lab.AddHosts(ctx, mixedHosts(f.Sample)...); err != nil {
		return err
	}
	cameras, err := f.Lab.Cameras()
	if err != nil {
		return err
	}
	var entries []any
	f.smoke = smoke.Site{Name: lab.SiteName, App: f.Lab.App()}
	for i, h := range f.media {
		text, err := f.Lab.Fragment(h)
		if err != nil {
			return err
		}
		var entry []any
		if err := yaml.Unmarshal([]byte(text), &entry); err != nil {
			return fmt.Errorf("reading the entry of %s: %w", h.Name, err)
		}
		entries = append(entries, entry...)
		f.names = append(f.names, h.Name)
		m := smoke.Media{Host: h.Name, Address: h.Address}
		if i < len(cameras) {
			m.Cameras = []netip.Addr{cameras[i].Address}
		}
		f.smoke.Media = append(f.smoke.Media, m)
	}
	f.site, err = f.deriveSite(mixedSite, func(site map[string]any) {
		onlyHosts(site, "app1")
		hosts, _ := site["hosts"].([]any)
		site["hosts"] = append(hosts, entries...)
		for _, m := range f.smoke.Media {
			var mine []any
			for _, c := range m.Cameras {
				mine = append(mine, c.String())
			}
			withHost(site, m.Host, map[string]any{"cameras": mine})
		}
	})
	return err
}

// leave takes the fleet away, and makes the application server bare that the lab's own site shares with it.
func (f *fleet) leave(ctx context.Context) error {
	var names []string
	for _, h := range mixedHosts(false) {
		names = append(names, h.Name)
	}
	return errors.Join(f.removeAny(ctx, names...), f.Lab.Reset(ctx, "app1"))
}

// isMixed asks the servers themselves what they are.
func (f *fleet) isMixed(ctx context.Context) error {
	for _, h := range f.media {
		status, err := f.Lab.Output(ctx, h.Name, "docker", "info", "--format", "{{.ServerVersion}} {{json .DriverStatus}}")
		if err != nil {
			return err
		}
		sudo, err := f.Lab.Output(ctx, h.Name, "sh", "-c", "sudo --version 2>&1") // sudo-rs says it there
		if err != nil {
			return err
		}
		version, _, _ := strings.Cut(status, " ")
		sudo, _, _ = strings.Cut(sudo, "\n")
		f.Measure(h.Name, "Ubuntu %s, Docker %s with images kept by %s, %s", h.Ubuntu, version, h.ImageStore, sudo)
		if strings.Contains(status, "io.containerd.snapshotter") != (h.ImageStore == lab.Containerd) {
			return fmt.Errorf("the engine of %s does not keep images with %s: %s", h.Name, h.ImageStore, status)
		}
		if strings.Contains(sudo, "sudo-rs") != (h.Ubuntu == ubuntu.Newest) {
			return fmt.Errorf("%s of Ubuntu %s has %s", h.Name, h.Ubuntu, sudo)
		}
	}
	return nil
}

// thereAndBack updates the fleet and takes it back, and wants it to serve each time.
func (f *fleet) thereAndBack(ctx context.Context, how string, more ...string) error {
	for _, way := range []struct{ command, to string }{{"update", releases.Canary}, {"rollback", releases.Stable}} {
		args := []string{way.command, "--to", way.to, "--site", f.site}
		if way.command == "update" {
			args = append(args, more...)
		}
		err := f.Timed(way.command+" "+how, func() error {
			_, err := f.Expect(ctx, 0, f.quick(args...)...)
			return err
		})
		if err != nil {
			return err
		}
		want := map[string]string{}
		for _, name := range f.names {
			want[name] = way.to
		}
		if err := errors.Join(f.haveReleases(ctx, want), smoke.Err(smoke.All(ctx, f.Lab, f.smoke))); err != nil {
			return fmt.Errorf("after the %s %s: %w", way.command, how, err)
		}
	}
	return nil
}

// oneDelta makes one bundle for all servers out of what they have, and wants no layer and no package in it that any
// of them has: whichever store a server's images are in, it says what they are made of.
func (f *fleet) oneDelta(ctx context.Context) (_ string, err error) {
	if err := f.maker(ctx); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Lab.RemoveHosts(context.WithoutCancel(ctx), makerName)) }()
	if err := f.mixedMaker(ctx); err != nil {
		return "", err
	}
	if err := f.forgetImages(ctx, f.names); err != nil {
		return "", err
	}
	bundle, err := f.makeBundle(ctx, releases.Canary)
	if err != nil {
		return "", err
	}
	c, err := readCarried(f.Lab.Path(bundle))
	if err != nil {
		return "", err
	}
	if err := f.nothingThere(ctx, f.names, c); err != nil {
		return "", err
	}
	layers := 0
	for _, i := range c.Images {
		if _, ok := c.size(i.Manifest); ok {
			here, err := c.layers(i.Manifest, i.Config)
			if err != nil {
				return "", err
			}
			layers += len(here)
		}
	}
	f.Measure("one bundle for all", "%d bytes, with %d layers that no server has", c.length, layers)
	if layers == 0 {
		return "", errors.New("the bundle has no layer, and the release changes some")
	}
	return bundle, nil
}

// mixedMaker gives the bundles' maker the fleet's site in place of the lab's own.
func (f *fleet) mixedMaker(ctx context.Context) error {
	files := map[string]string{f.site: "site.yaml", "sudo_password": "sudo_password"}
	for _, h := range f.media {
		files["licences/"+h.Name] = "licences/" + h.Name
	}
	var put []containers.File
	for from, to := range files {
		content, err := readFile(f.Lab.Path(from))
		if err != nil {
			return err
		}
		put = append(put, containers.File{Path: path.Join(makerFolder, to), Mode: 0o600, Content: content})
	}
	return f.Lab.Engine().CopyTo(ctx, f.Lab.Container(makerName), put)
}
