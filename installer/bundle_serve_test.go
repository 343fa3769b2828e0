package installer_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
)

// carried is a bundle in the making: the release repository as it is now, and what more a
// test wants in it.
type carried struct {
	contents *bundle.Contents
	blobs    map[string][]byte
}

// bundled reads all of the repository.
func (p *practice) bundled() *carried {
	p.t.Helper()
	c := &carried{contents: &bundle.Contents{Release: "6.4.2", Made: p.repo.Now(), Maker: "pat@laptop"}, blobs: map[string][]byte{}}
	err := filepath.WalkDir(p.repo.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(p.repo.Dir, path)
		if err == nil && (strings.HasPrefix(name, "metadata") || strings.HasPrefix(name, "targets")) {
			c.file("tuf/"+name, p.repo.Read(p.t, name))
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (c *carried) blob(content []byte, media string) string {
	sum := sha256.Sum256(content)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if _, ok := c.blobs[digest]; !ok {
		c.blobs[digest] = content
		c.contents.Blobs = append(c.contents.Blobs, bundle.Blob{Digest: digest, Size: int64(len(content)), MediaType: media})
	}
	return digest
}

func (c *carried) file(path string, content []byte) {
	c.contents.Files = append(c.contents.Files, bundle.File{Path: path, Digest: c.blob(content, bundle.MediaFile)})
}

// image adds an image of layers, and returns the digests of its manifest and config.
func (c *carried) image(t testing.TB, layers ...[]byte) (manifest, config string) {
	t.Helper()
	var m struct {
		Config struct{ Digest string }   `json:"config"`
		Layers []struct{ Digest string } `json:"layers"`
	}
	var diffs []string
	for _, l := range layers {
		m.Layers = append(m.Layers, struct{ Digest string }{c.blob(l, "layer")})
		diffs = append(diffs, "unpacked "+m.Layers[len(m.Layers)-1].Digest)
	}
	text, err := json.Marshal(map[string]any{"rootfs": map[string]any{"diff_ids": diffs}})
	if err != nil {
		t.Fatal(err)
	}
	m.Config.Digest = c.blob(text, "config")
	if text, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return c.blob(text, "manifest"), m.Config.Digest
}

// open makes the bundle and has it carry runs.
func (c *carried) open(t testing.TB) *fleet.Carrier {
	t.Helper()
	key, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "site.bundle")
	source := func(_ context.Context, b bundle.Blob, offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(c.blobs[b.Digest][offset:])), nil
	}
	if _, err := bundle.Create(t.Context(), name, c.contents, key, source, nil); err != nil {
		t.Fatal(err)
	}
	r, err := bundle.Open([]string{name}, []ssh.PublicKey{key.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	carrier := fleet.NewCarrier(r)
	t.Cleanup(func() { _ = carrier.Close(); _ = r.Close() })
	return carrier
}

// from has a run take everything from a bundle.
func from(c *fleet.Carrier) func(*installer.Options) {
	return func(o *installer.Options) { o.Carrier = c }
}

func TestABundleInstallsWithoutTheRepositoryLongAfter(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	carrier := p.bundled().open(t)
	p.repo.Close()
	p.repo.Pass(200 * 24 * time.Hour) // the metadata is long past its time
	result := p.install(from(carrier))
	for _, h := range result.Hosts {
		if h.Outcome != installer.Changed {
			t.Errorf("%+v", h)
		}
	}
	if !p.saw(event.Note, "200 days ago") {
		t.Error("nobody was told how old the bundle is")
	}
	for name, h := range p.hosts {
		if got := string(h.Secrets()["bundle"]); !strings.Contains(got, "127.0.0.1:") {
			t.Errorf("%s was not told where the bundle answers", name)
		}
	}
}

// TestABundleOlderThanAHostHasSeenIsRefused: a bundle is no way to have a host forget what
// the vendor has published since, such as that a key was stolen.
func TestABundleOlderThanAHostHasSeenIsRefused(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	old := p.bundled().open(t)
	p.repo.Pass(time.Hour)
	p.repo.Change(t, func(r *publish.Repository) error { return r.SetChannel("canary", "6.4.2") })
	newer := p.bundled().open(t)
	p.install(from(newer))
	p.calls("facts", "inspect", "prove", "start", "follow")
	p.stateDir = t.TempDir() // a controller that has seen nothing
	_, err := p.try(from(old))
	if problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), "app1") || !strings.Contains(err.Error(), "media1") {
		t.Errorf("got %v", err)
	}
	p.calls("facts")
}

func TestABundleOfAnotherVendorIsRefused(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	_, err := p.try(from(newPractice(t).bundled().open(t)))
	if problem.KindOf(err) != problem.Trust {
		t.Errorf("got %v", err)
	}
	p.untouched()
}

// measured is a repository whose release has images that a bundle can hold.
func measured(t *testing.T, p *practice, c *carried) {
	t.Helper()
	rel := publishtest.Release("6.4.3")
	for name, text := range rel.Files {
		rel.Files[name] = bytes.ReplaceAll(text, []byte("image: "), []byte("image: docker.ipivs.com/valt/"))
	}
	for n, name := range []string{"web", "engine"} {
		manifest, config := c.image(t, bytes.Repeat([]byte("base"), 25_000), bytes.Repeat([]byte(name), 50_000))
		for at, digest := range []string{manifest, config} {
			was := "sha256:" + strings.Repeat(fmt.Sprint(1+2*n+at), 64)
			rel.Manifest = bytes.ReplaceAll(rel.Manifest, []byte(was), []byte(digest))
		}
		c.contents.Images = append(c.contents.Images, bundle.Image{Repository: "docker.ipivs.com/valt/" + name, Release: "6.4.3", Platform: "linux/amd64", Manifest: manifest, Config: config})
	}
	p.repo.Change(t, func(r *publish.Repository) error {
		_, err := r.AddRelease(rel)
		return err
	})
	p.edit("version: 6.4.2", "version: 6.4.3")
	more := p.bundled()
	for _, f := range more.contents.Files {
		c.file(f.Path, more.blobs[f.Digest])
	}
	c.contents.Release = "6.4.3"
}

// TestAHostWithoutTheSpaceIsRefusedBeforeAnyChange, and only for what it really lacks.
func TestAHostWithoutTheSpaceIsRefusedBeforeAnyChange(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	c := &carried{contents: &bundle.Contents{Release: "6.4.3", Made: p.repo.Now(), Maker: "pat@laptop"}, blobs: map[string][]byte{}}
	measured(t, p, c)
	c.file("apt/valt/pool/valt-host_6.4.3_amd64.deb", bytes.Repeat([]byte("deb"), 20_000))
	carrier := c.open(t)
	// Of either image 100,000 bytes of the base and 150,000 or 300,000 of its own; the package 60,000.
	room := func(free int64) []facts.Filesystem {
		return []facts.Filesystem{{Mount: "/", Size: 1 << 40, Free: 300_000}, {Mount: "/var/lib/docker", Size: 1 << 40, Free: free}}
	}
	p.hosts["app1"].Facts.Filesystems = room(4 * 250_000)
	p.hosts["media1"].Facts.Filesystems = room(4*400_000 - 1)
	p.hosts["media1"].Write("/var/lib/dpkg/status", "")
	_, err := p.try(from(carrier))
	if problem.KindOf(err) != problem.Check || !strings.Contains(err.Error(), "media1: /var/lib/docker has 1599999 bytes free, and what the host lacks of the bundle takes about 1600000 there") ||
		strings.Contains(err.Error(), "app1") {
		t.Errorf("got %v", err)
	}
	p.untouched()
	// What media1 has is asked in full, since it was too little for all of it.
	if app, media := p.hosts["app1"].Calls(), p.hosts["media1"].Calls(); !slices.Equal(app, []string{"facts", "inspect", "prove"}) || !slices.Equal(media, []string{"facts", "inspect", "prove", "facts"}) {
		t.Errorf("app1 was called for %q, media1 for %q", app, media)
	}
}

func TestWhatAHostHasNeedsNoSpace(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	c := &carried{contents: &bundle.Contents{Release: "6.4.3", Made: p.repo.Now(), Maker: "pat@laptop"}, blobs: map[string][]byte{}}
	measured(t, p, c)
	c.file("apt/valt/pool/valt-host_6.4.3_amd64.deb", bytes.Repeat([]byte("deb"), 20_000))
	carrier := c.open(t)
	base := c.blob(bytes.Repeat([]byte("base"), 25_000), "layer")
	for _, h := range p.hosts {
		h.Write("/var/lib/dpkg/status", "")
		h.Facts.Filesystems = []facts.Filesystem{{Mount: "/", Size: 1 << 40, Free: 4 * 310_000}}
		h.Facts.Engine = &facts.EngineFacts{Version: "28.0", Root: "/var/lib/docker", Images: []facts.Image{{ID: "sha256:other", Layers: []string{"unpacked " + base, "unpacked others"}}}}
		h.Facts.Packages = map[string]string{"valt-host:amd64": "1:6.4.3"}
	}
	if _, err := p.try(from(carrier)); err != nil {
		t.Error(err)
	}
}

func TestWhereNothingTellsOfSpaceNothingIsRefused(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	c := &carried{contents: &bundle.Contents{Release: "6.4.3", Made: p.repo.Now(), Maker: "pat@laptop"}, blobs: map[string][]byte{}}
	measured(t, p, c)
	if _, err := p.try(from(c.open(t))); err != nil {
		t.Error(err)
	}
}

func TestAHostsAptIsAskedOverItsConnection(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	h, _ := p.options().Site.Host("app1")
	host := fleet.New(p.options().Options, []site.Host{h}).Hosts[0]
	if err := host.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	ask := host.Solve
	if got, err := ask(t.Context(), apt.Question{}); err != nil || len(got) != 0 {
		t.Errorf("nothing was asked for: %q (%v)", got, err)
	}
	if _, err := ask(t.Context(), apt.Question{Names: []string{"no-such-package"}}); err == nil || !strings.HasPrefix(err.Error(), "host app1: ") || !strings.Contains(err.Error(), "no-such-package") {
		t.Errorf("%v", err)
	}
	p.untouched()
}

// TestNoMoreHostsFetchAtATimeThanAllowed: with a limit of one, the second host is not begun
// before the first has ended.
func TestNoMoreHostsFetchAtATimeThanAllowed(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	var busy, begun atomic.Int32
	p.onEach = func(e event.Event) {
		switch e.Kind {
		case event.Start:
			begun.Add(1)
			if n := busy.Add(1); n > 1 {
				t.Errorf("%d hosts fetch at once", n)
			}
		case event.Done:
			busy.Add(-1)
		}
	}
	p.install(func(o *installer.Options) { o.Limit = 1 })
	if n := begun.Load(); n != 2 {
		t.Errorf("%d hosts were begun", n)
	}
}
