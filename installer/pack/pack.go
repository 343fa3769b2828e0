// Package pack decides what a bundle for a site holds and brings it together: the release
// repository's files as they are, the lists and packages of apt as apt itself solves them,
// the images by digest, and this program for the hosts. What a bundle is on the disk is for
// repos/bundle, and how hosts read it for installer.
package pack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/images"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Options say what a bundle is for.
type Options struct {
	Site    *site.Site
	Version string // of the release; empty: what the site file asks for
	// Have are the full facts of hosts that the bundle is for: packages are solved for what
	// they have, and what all of them have is left out. None: a bare server of each Ubuntu.
	Have     []facts.Facts
	Ubuntu   []string // codenames that packages are solved for without facts
	Keyring  []byte   // of the distribution's archive; empty: the facts', or this machine's
	Password []byte   // the registry's
	HTTP     http.RoundTripper
	Agent    string // file of this program as hosts run it
	Maker    string
	Now      func() time.Time
	Note     func(text string)
}

// Packed is a bundle's contents, and where each blob comes from.
type Packed struct {
	Contents *bundle.Contents
	Key      ssh.Signer
	inline   map[string][]byte
	remote   map[string]func(ctx context.Context, offset int64) (io.ReadCloser, error)
}

// packing is one bundle in the making.
type packing struct {
	Options
	*Packed
	repo      *release.Repository
	manifests []*release.Manifest
	compose   map[string][]byte // by version and role
	has       map[string]bool   // blobs that are listed
}

// Pack finds out all that the bundle must hold, without its large parts: those come when
// the bundle is written.
func Pack(ctx context.Context, o Options) (*Packed, error) {
	p := &packing{Options: o, compose: map[string][]byte{}, has: map[string]bool{},
		Packed: &Packed{Contents: &bundle.Contents{Site: o.Site.ID, Made: o.Now().UTC().Truncate(time.Second), Maker: o.Maker},
			inline: map[string][]byte{}, remote: map[string]func(context.Context, int64) (io.ReadCloser, error){}}}
	for _, part := range []struct {
		note string
		do   func(context.Context) error
	}{{"reading the release repository", p.releases}, {"asking apt which packages are needed", p.packages}, {"this program", p.agent}, {"reading the images' manifests", p.images}} {
		o.Note(part.note)
		if err := part.do(ctx); err != nil {
			return nil, err
		}
	}
	return p.Packed, nil
}

// Source is the bundle.Source of what is packed.
func (p *Packed) Source(ctx context.Context, b bundle.Blob, offset int64) (io.ReadCloser, error) {
	if content, ok := p.inline[b.Digest]; ok {
		return io.NopCloser(strings.NewReader(string(content[min(offset, int64(len(content))):]))), nil
	}
	from, ok := p.remote[b.Digest]
	if !ok {
		return nil, fmt.Errorf("fetching %s: nobody knows where it is", b.Digest)
	}
	return from(ctx, offset)
}

// file adds a small file by its path.
func (p *packing) file(path string, content []byte, media string) {
	sum := sha256.Sum256(content)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	p.Contents.Files = append(p.Contents.Files, bundle.File{Path: path, Digest: digest})
	if p.list(bundle.Blob{Digest: digest, Size: int64(len(content)), MediaType: media}) {
		p.inline[digest] = content
	}
}

// list adds a blob once.
func (p *packing) list(b bundle.Blob) bool {
	if p.has[b.Digest] {
		return false
	}
	p.has[b.Digest] = true
	p.Contents.Blobs = append(p.Contents.Blobs, b)
	return true
}

// releases reads the repository as an installation would, with a record of every file.
func (p *packing) releases(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "valtctl-bundle-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	base := p.Site.Release.URL
	if base == "" {
		base = release.DefaultURL
	}
	base = strings.TrimSuffix(base, "/") + "/"
	heard := &recorder{through: p.HTTP, base: base, files: map[string][]byte{}}
	o := release.Options{URL: base, Dir: filepath.Join(dir, "tuf"), HTTP: &http.Client{Transport: heard}, Now: p.Now}
	if path := p.Site.Release.Root; path != "" {
		if o.Root, err = os.ReadFile(path); err != nil {
			return fmt.Errorf("reading release.root: %w", err)
		}
	}
	if p.repo, err = release.Open(o); err != nil {
		return err
	}
	if err := p.repo.Refresh(ctx); err != nil {
		return err
	}
	if err := p.choose(ctx); err != nil {
		return err
	}
	if err := heard.roots(ctx); err != nil {
		return err
	}
	for _, path := range heard.paths() {
		p.file("tuf/"+path, heard.files[path], bundle.MediaFile)
	}
	for role, st := range p.repo.State().Roles {
		p.Contents.Expires = append(p.Contents.Expires, bundle.Expiry{What: role + " of the release repository", At: st.Expires})
	}
	slices.SortFunc(p.Contents.Expires, func(a, b bundle.Expiry) int {
		if d := a.At.Compare(b.At); d != 0 {
			return d
		}
		return strings.Compare(a.What, b.What)
	})
	return nil
}

// choose reads the release, and those on the way to it from what hosts have.
func (p *packing) choose(ctx context.Context) error {
	version := p.Version
	var err error
	if version == "" {
		if version = p.Site.Release.Version; version == "" {
			if version, err = p.repo.Channel(ctx, p.Site.Release.Channel); err != nil {
				return err
			}
		}
	}
	newest, err := p.repo.Manifest(ctx, version)
	if err != nil {
		return err
	}
	p.Contents.Release, p.Contents.From = version, newest.From
	if p.manifests, err = p.way(ctx, newest); err != nil {
		return err
	}
	for _, m := range p.manifests {
		if m.Version != version {
			p.Contents.Also = append(p.Contents.Also, m.Version)
		}
		for _, role := range site.Roles() {
			text, err := p.repo.Compose(ctx, m, string(role))
			if err != nil {
				return err
			}
			p.compose[m.Version+"/"+string(role)] = text
		}
	}
	return nil
}

// way are the release and the intermediates that some host needs, the release last.
func (p *packing) way(ctx context.Context, newest *release.Manifest) ([]*release.Manifest, error) {
	all := map[string]*release.Manifest{}
	var manifests []*release.Manifest
	for _, v := range p.repo.Versions() {
		if release.Newest([]string{v, newest.Version}) != newest.Version {
			continue
		}
		m, err := p.repo.Manifest(ctx, v)
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, m)
	}
	for _, f := range p.Have {
		if f.Installed == nil {
			continue
		}
		way, err := release.Way(f.Installed.Release, manifests)
		if err != nil {
			return nil, err
		}
		for _, m := range way {
			all[m.Version] = m
		}
	}
	all[newest.Version] = newest
	var versions []string
	for v := range all {
		versions = append(versions, v)
	}
	release.SortVersions(versions)
	var way []*release.Manifest
	for _, v := range versions {
		way = append(way, all[v])
	}
	return way, nil
}

// agent adds this program, for hosts that do not have it.
func (p *packing) agent(context.Context) error {
	content, err := os.ReadFile(p.Agent)
	if err != nil {
		return fmt.Errorf("reading this program: %w", err)
	}
	p.file("agent/linux-amd64/valtctl", content, bundle.MediaFile)
	return nil
}

// images adds every image of every release, but for what all hosts have that need it.
func (p *packing) images(ctx context.Context) error {
	left := map[string]bundle.Blob{}
	for _, m := range p.manifests {
		for _, name := range sorted(m.Images) {
			if err := p.image(ctx, m, name, left); err != nil {
				return err
			}
		}
	}
	for _, digest := range sorted(left) {
		if !p.has[digest] {
			p.Contents.Left = append(p.Contents.Left, left[digest])
		}
	}
	return nil
}

const platform = "linux/amd64"

func (p *packing) image(ctx context.Context, m *release.Manifest, name string, left map[string]bundle.Blob) error {
	signed, ok := m.Images[name].Platforms[platform]
	if !ok {
		return fmt.Errorf("packing release %s: it has no image %s for %s", m.Version, name, platform)
	}
	repository := m.Images[name].Repository
	host, rest, _ := strings.Cut(repository, "/")
	r, err := images.Open(ctx, p.Site.Network.Endpoint(host).String()+"/"+rest, p.Site.Registry.Username, string(p.Password), p.HTTP)
	if err != nil {
		return err
	}
	image, err := r.Image(ctx, signed.Manifest)
	if err != nil {
		return err
	}
	if image.Config.Digest != signed.Config {
		return &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: repository, Err: errors.New("its config is not the one that the release names"), Fix: "tell the vendor"}
	}
	there := p.there(m.Version, name, repository, image)
	add := func(b images.Blob, leave bool) {
		listed := bundle.Blob{Digest: b.Digest, Size: b.Size, MediaType: b.MediaType}
		if leave {
			left[b.Digest] = listed
			return
		}
		if p.list(listed) {
			p.remote[b.Digest] = func(ctx context.Context, offset int64) (io.ReadCloser, error) {
				return r.Blob(ctx, b.Digest, b.Size, offset)
			}
		}
	}
	whole := there == len(image.Layers)+1
	add(image.Config, whole)
	for i, l := range image.Layers {
		add(l, i < there)
	}
	if !whole {
		p.inline[image.Manifest.Digest] = image.Raw
	}
	add(image.Manifest, whole)
	p.Contents.Images = append(p.Contents.Images, bundle.Image{Repository: repository, Release: m.Version, Platform: platform,
		Manifest: image.Manifest.Digest, Config: image.Config.Digest})
	return nil
}

// there is how many of an image's layers, from the lowest on, every host has that needs the
// image; one more than it has layers: the image itself.
func (p *packing) there(version, name, repository string, image *images.Image) int {
	most := len(image.Layers) + 1
	asked := false
	for _, f := range p.Have {
		if f.Engine == nil || f.Installed == nil {
			return 0
		}
		if !p.uses(f, version, name, repository) {
			continue
		}
		asked = true
		most = min(most, Shared(f.Engine.Images, image.Config.Digest, diffIDs(image)))
	}
	if !asked {
		return 0
	}
	return most
}

// uses says whether a host's roles have the image in their Compose files.
func (p *packing) uses(f facts.Facts, version, name, repository string) bool {
	for _, role := range f.Installed.Roles {
		for line := range strings.Lines(string(p.compose[version+"/"+role])) {
			named, ok := strings.CutPrefix(strings.TrimSpace(line), "image:")
			if named, _, _ = strings.Cut(strings.Trim(strings.TrimSpace(named), `"'`), "@"); ok && (named == name || named == repository) {
				return true
			}
		}
	}
	return false
}

func diffIDs(image *images.Image) []string {
	var all []string
	for _, l := range image.Layers {
		all = append(all, l.DiffID)
	}
	return all
}

// Shared is how many of an image's layers, from the lowest on, an engine can take from the
// images that it has: it knows a layer by all that lies below it. One more than there are
// layers: it has the image itself.
func Shared(have []facts.Image, config string, layers []string) int {
	best := 0
	for _, h := range have {
		if h.ID == config {
			return len(layers) + 1
		}
		n := 0
		for n < len(h.Layers) && n < len(layers) && h.Layers[n] == layers[n] {
			n++
		}
		best = max(best, n)
	}
	return best
}

// packages asks apt for every host, or for a bare one of every Ubuntu.
func (p *packing) packages(ctx context.Context) error {
	type kind struct {
		codename, version string
		status            [][]byte
		keyring           []byte
	}
	var kinds []*kind
	of := func(codename, version string) *kind {
		for _, k := range kinds {
			if k.codename == codename {
				return k
			}
		}
		k := &kind{codename: codename, version: version}
		kinds = append(kinds, k)
		return k
	}
	for _, f := range p.Have {
		if f.DpkgStatus == "" {
			return &problem.Error{Kind: problem.Input, Doing: "reading the facts of", Object: f.Hostname, Err: errors.New("they do not say what is installed there"),
				Fix: "gather them with: valtctl facts --full -o json"}
		}
		k := of(f.OS.Codename, f.OS.VersionID)
		k.status = append(k.status, []byte(f.DpkgStatus))
		k.keyring = f.Keyring
	}
	if len(p.Have) == 0 {
		for _, codename := range p.Ubuntu {
			k := of(codename, codename)
			k.status = [][]byte{nil}
		}
	}
	for _, k := range kinds {
		p.Contents.Ubuntu = append(p.Contents.Ubuntu, k.version)
		if err := p.packagesFor(ctx, k.codename, k.keyring, k.status); err != nil {
			return err
		}
	}
	return nil
}

func (p *packing) packagesFor(ctx context.Context, codename string, keyring []byte, status [][]byte) error {
	var all []*apt.Index
	newest := p.manifests[len(p.manifests)-1]
	for _, s := range newest.Apt {
		index, err := p.index(ctx, s, codename, keyring)
		if err != nil {
			return err
		}
		for _, path := range sorted(index.Files) {
			if !slices.ContainsFunc(p.Contents.Files, func(f bundle.File) bool { return f.Path == "apt/"+s.Name+"/"+path }) {
				p.file("apt/"+s.Name+"/"+path, index.Files[path], bundle.MediaFile)
			}
		}
		all = append(all, index)
	}
	for _, m := range p.manifests {
		for _, st := range status {
			solved, err := apt.Solve(ctx, all, st, p.wanted(m))
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

// wanted is what a release asks apt for on a host of any role.
func (p *packing) wanted(m *release.Manifest) []string {
	var names []string
	for _, one := range m.Packages {
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
	if slices.ContainsFunc(p.Contents.Files, func(f bundle.File) bool { return f.Path == path }) {
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
