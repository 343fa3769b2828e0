package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/mirror"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
	"ipivs.com/valtctl/cmd/valtlab/vendorsim"
)

// writeWorld writes the world's configuration and the folders it serves from.
func (l *Lab) writeWorld() error {
	user, password, err := l.RegistryLogin()
	if err != nil {
		return err
	}
	for _, folder := range []string{"release", "registry", "mirror", "hosts.d"} {
		if err := os.MkdirAll(l.Path("world", folder), 0o755); err != nil {
			return fmt.Errorf("making the world's folders: %w", err)
		}
	}
	// The hash is kept, since it is another one every time and would make the world new.
	htpasswd, err := keepFile(l.Path("world", "htpasswd"), 0o600, func() ([]byte, error) {
		return vendorsim.Htpasswd(user, password)
	})
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"nginx.conf":          vendorsim.NginxConfig(l.World()),
		"dnsmasq.conf":        vendorsim.DNSConfig(),
		"chrony.conf":         vendorsim.ChronyConfig(l.Subnet()),
		"registry.yml":        vendorsim.RegistryConfig(),
		"htpasswd":            htpasswd,
		"meta-release-lts":    vendorsim.MetaRelease(),
		"acme-directory.json": vendorsim.ACMEDirectory(),
	} {
		if err := writeFile(l.Path("world", "conf", name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeNames tells the world's DNS every name of the lab; it reads the file again by
// itself.
func (l *Lab) writeNames(s state) error {
	names := map[string]netip.Addr{worldName: l.World(), clientName: l.Client()}
	for _, name := range vendorsim.Names() {
		names[name] = l.World()
	}
	for _, h := range s.Hosts {
		names[h.Name] = h.Address
		if h.HasRole(RoleApp) && isStandard(h.Name) {
			names[SiteName] = h.Address
		}
	}
	for n := 1; n <= s.Cameras; n++ {
		names[fmt.Sprintf("camera%d", n)] = l.Camera(n)
	}
	if err := writeFile(l.Path("world", "hosts.d", "names"), vendorsim.HostsFile(names), 0o644); err != nil {
		return err
	}
	return l.writeNamesBehind(s)
}

// writeNamesBehind gives the world's names its address on the networks behind jump
// hosts too. The DNS server answers with the one that the asker can reach.
func (l *Lab) writeNamesBehind(s state) error {
	for _, h := range s.Hosts {
		if h.Behind == "" {
			continue
		}
		names := map[string]netip.Addr{}
		for _, name := range append(vendorsim.Names(), worldName) {
			names[name] = l.worldFor(h)
		}
		if err := writeFile(l.Path("world", "hosts.d", "behind-"+h.Behind), vendorsim.HostsFile(names), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// worldFor is the world's address on the network of the host.
func (l *Lab) worldFor(h Host) netip.Addr {
	if h.Behind == "" {
		return l.World()
	}
	return withLast(h.Address, numWorld)
}

// worldMachine is the world's container. Its configuration goes in as files, so that a
// change of it makes the world new; what it serves stays outside and outlives it.
func (l *Lab) worldMachine(image string) (machine, error) {
	tree, err := groupTree(false)
	if err != nil {
		return machine{}, err
	}
	m := machine{spec: containers.Spec{
		Name: l.Container(worldName), Hostname: worldName, Lab: l.Name(), Kind: kindWorld, Image: image,
		Network: l.Network(), Address: l.World(), Machine: true, Unified: tree,
		Binds: []containers.Bind{
			{Source: l.Path("world", "release"), Target: filepath.Dir(vendorsim.ReleaseFolder), ReadOnly: true},
			{Source: l.Path("world", "mirror"), Target: vendorsim.MirrorFolder, ReadOnly: true},
			{Source: l.Path("world", "registry"), Target: "/srv/registry"},
			{Source: l.Path("world", "hosts.d"), Target: vendorsim.HostsFolder, ReadOnly: true},
			{Source: l.Path("hosts", "resolv.conf"), Target: "/etc/resolv.conf", ReadOnly: true},
		},
	}}
	for from, to := range map[string]string{
		"conf/nginx.conf":          "/etc/nginx/nginx.conf",
		"conf/dnsmasq.conf":        "/etc/valtlab/dnsmasq.conf",
		"conf/chrony.conf":         "/etc/valtlab/chrony.conf",
		"conf/registry.yml":        "/etc/valtlab/registry.yml",
		"conf/htpasswd":            "/etc/valtlab/htpasswd",
		"conf/meta-release-lts":    "/etc/valtlab/meta-release-lts",
		"conf/acme-directory.json": "/etc/valtlab/acme-directory.json",
		"tls/world.pem":            vendorsim.TLSFolder + "/world.pem",
		"tls/world.key":            vendorsim.TLSFolder + "/world.key",
	} {
		content, err := os.ReadFile(l.Path("world", from))
		if err != nil {
			return m, fmt.Errorf("reading the world's configuration: %w", err)
		}
		m.files = append(m.files, containers.File{Path: to, Content: content})
	}
	sortFiles(m.files)
	return m, nil
}

// buildMirror brings the world's package repositories up to date: packages from the
// cache, signatures of this lab's keys as of now.
func (l *Lab) buildMirror(ctx context.Context, u ubuntu.Release, hostImage string) error {
	status, err := l.engine.ReadImageFile(ctx, hostImage, "/var/lib/dpkg/status")
	if err != nil {
		return err
	}
	request := mirror.Request{Ubuntu: u, Status: status, Groups: mirror.Groups(u), Debian: l.options.Mirror}
	cached, err := mirror.Build(ctx, l.options.Cache, request)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, repository := range mirror.Repositories(u) {
		group.Go(func() error { return l.putRepository(groupCtx, cached, repository) })
	}
	return group.Wait()
}

func (l *Lab) putRepository(ctx context.Context, cached string, r mirror.Repository) error {
	root := l.Path("world", "mirror", r.Vendor)
	if err := linkTree(ctx, filepath.Join(cached, r.Vendor), root); err != nil {
		return err
	}
	key, err := l.vendorSecret(r.Vendor)
	if err != nil {
		return err
	}
	return r.Sign(root, key, l.Now())
}

// SignMirror signs the lists of all package repositories again, as of a time.
func (l *Lab) SignMirror(at time.Time) error {
	hosts, err := l.Hosts()
	if err != nil {
		return err
	}
	signed := map[ubuntu.Release]bool{}
	for _, h := range hosts {
		if u := h.release(); !signed[u] {
			signed[u] = true
			if err := l.signMirror(u, at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Lab) signMirror(u ubuntu.Release, at time.Time) error {
	for _, r := range mirror.Repositories(u) {
		key, err := l.vendorSecret(r.Vendor)
		if err == nil {
			err = r.Sign(l.Path("world", "mirror", r.Vendor), key, at)
		}
		if err != nil {
			return fmt.Errorf("signing the lists of %s for %s: %w", r.Vendor, u.Codename, err)
		}
	}
	return nil
}

// linkTree makes to hold every file of from, without copying where it can. Files that
// to has already are replaced, since someone may have tampered with them to see what
// happens.
func linkTree(ctx context.Context, from, to string) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("linking %s: %w", path, err)
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if entry.IsDir() {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return fmt.Errorf("linking %s: %w", path, err)
			}
			return nil
		}
		if err := os.Remove(target); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("linking %s: %w", path, err)
		}
		return linkOrCopy(path, target, true)
	})
}
