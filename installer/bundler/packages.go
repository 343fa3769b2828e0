package bundler

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// asking is a host, or a kind of them, for which apt is asked.
type asking struct {
	status    []byte   // dpkg's; nil: a bare server
	roles     []string // nil: any
	installed string   // the release that it has; empty: none
}

// ubuntu is an Ubuntu that hosts have.
type ubuntu struct {
	codename, version string
	keyring           []byte // of its archive, as hosts have it
	hosts             []asking
}

// packages asks apt for every host, or for a bare one of every Ubuntu.
func (p *packing) packages(ctx context.Context) error {
	kinds, err := p.ubuntus()
	if err != nil {
		return err
	}
	for _, k := range kinds {
		p.Contents.Ubuntu = append(p.Contents.Ubuntu, k.version)
		if err := p.packagesFor(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// ubuntus sorts the hosts by their Ubuntu.
func (p *packing) ubuntus() ([]*ubuntu, error) {
	var kinds []*ubuntu
	for _, f := range p.Have {
		if f.DpkgStatus == "" {
			return nil, &problem.Error{Kind: problem.Input, Doing: "reading the facts of", Object: f.Hostname, Err: errors.New("they do not say what is installed there"),
				Fix: "gather them with: valtctl facts --full -o json"}
		}
		host := asking{status: []byte(f.DpkgStatus)}
		if f.Installed != nil {
			host.roles, host.installed = f.Installed.Roles, f.Installed.Release
		}
		i := slices.IndexFunc(kinds, func(k *ubuntu) bool { return k.codename == f.OS.Codename })
		if i < 0 {
			i, kinds = len(kinds), append(kinds, &ubuntu{codename: f.OS.Codename, version: f.OS.VersionID, keyring: f.Keyring})
		}
		kinds[i].hosts = append(kinds[i].hosts, host)
	}
	if len(p.Have) == 0 {
		for _, codename := range p.Ubuntu {
			kinds = append(kinds, &ubuntu{codename: codename, version: codename, hosts: []asking{{}}})
		}
	}
	return kinds, nil
}

func (p *packing) packagesFor(ctx context.Context, k *ubuntu) error {
	var all []*apt.Index
	newest := p.manifests[len(p.manifests)-1]
	for _, s := range newest.Apt {
		index, err := p.index(ctx, s, k.codename, k.keyring)
		if err != nil {
			return err
		}
		for _, path := range sorted(index.Files) {
			if !p.named("apt/" + s.Name + "/" + path) {
				p.file("apt/"+s.Name+"/"+path, index.Files[path], bundle.MediaFile)
			}
		}
		all = append(all, index)
	}
	for _, m := range p.manifests {
		for _, host := range k.hosts {
			if host.installed != "" && release.Newest([]string{m.Version, host.installed}) != m.Version {
				continue // it is past that one
			}
			solved, err := apt.Solve(ctx, p.ask(), all, host.status, p.wanted(m, host.roles))
			if err != nil {
				return err
			}
			for _, one := range solved {
				p.deb(one, all)
			}
		}
	}
	return nil
}

// ask is how apt is asked.
func (p *packing) ask() apt.Asker {
	if p.Ask != nil {
		return p.Ask
	}
	return apt.Ask
}

// named says whether the bundle has a file of that path already.
func (p *packing) named(path string) bool {
	return slices.ContainsFunc(p.Contents.Files, func(f bundle.File) bool { return f.Path == path })
}

// wanted is what a release asks apt for on a host of roles.
func (p *packing) wanted(m *release.Manifest, roles []string) []string {
	var names []string
	for _, one := range m.Packages {
		if roles != nil && len(one.Roles) > 0 && !slices.ContainsFunc(one.Roles, func(r string) bool { return slices.Contains(roles, r) }) {
			continue
		}
		if one.Version != "" {
			names = append(names, one.Name+"="+one.Version)
		} else {
			names = append(names, one.Name)
		}
	}
	if p.Site.Firewall == site.FirewallManaged && !slices.Contains(names, "nftables") {
		names = append(names, "nftables")
	}
	return names
}

// index reads one source of the release for an Ubuntu.
func (p *packing) index(ctx context.Context, s release.AptSource, codename string, keyring []byte) (*apt.Index, error) {
	fill := func(text string) string { return strings.ReplaceAll(text, "{codename}", codename) }
	r := apt.Repo{Name: s.Name, URI: p.endpoint(fill(s.URI)), Components: s.Components, Architectures: []string{"amd64"}, Keys: []byte(s.Key)}
	for _, suite := range s.Suites {
		r.Suites = append(r.Suites, fill(suite))
	}
	if s.Keyring != "" {
		var err error
		if r.Keys, err = p.distribution(s.Keyring, keyring); err != nil {
			return nil, err
		}
	}
	return apt.FetchIndex(ctx, &http.Client{Transport: p.HTTP}, r, p.Now())
}

// distribution is the keyring that a distribution brings, from wherever it is known.
func (p *packing) distribution(file string, ofFacts []byte) ([]byte, error) {
	for _, keys := range [][]byte{p.Keyring, ofFacts} {
		if len(keys) > 0 {
			return keys, nil
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Input, Doing: "reading the keyring of the distribution", Object: file, Err: err,
			Fix: "give the facts of a host (--have; valtctl facts --full -o json), or copy that file from an Ubuntu server and name it: --keyring FILE"}
	}
	return content, nil
}

// endpoint puts the site's mirror in place of a vendor's host.
func (p *packing) endpoint(raw string) string {
	scheme, rest, _ := strings.Cut(raw, "://")
	host, path, _ := strings.Cut(rest, "/")
	return scheme + "://" + p.Site.Network.Endpoint(host).String() + "/" + path
}

// deb adds one package's file.
func (p *packing) deb(one apt.Solved, all []*apt.Index) {
	path := "apt/" + one.Repo + "/" + strings.TrimPrefix(one.Filename, "./")
	if p.named(path) {
		return
	}
	digest := "sha256:" + one.Hash.SHA256
	p.Contents.Files = append(p.Contents.Files, bundle.File{Path: path, Digest: digest})
	if !p.list(bundle.Blob{Digest: digest, Size: one.Hash.Size, MediaType: bundle.MediaDeb}) {
		return
	}
	for _, x := range all {
		if x.Repo.Name == one.Repo {
			address := strings.TrimSuffix(x.Repo.URI, "/") + "/" + one.Filename
			p.remote[digest] = func(ctx context.Context, offset int64) (io.ReadCloser, error) {
				return get(ctx, p.HTTP, address, offset)
			}
		}
	}
}
