package bundler

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
)

func signer(t *testing.T) ssh.Signer {
	t.Helper()
	key, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// write makes the file and reads it back, verified.
func write(t *testing.T, p *Packed) *bundle.Reader {
	t.Helper()
	key, name := signer(t), filepath.Join(t.TempDir(), "site.bundle")
	if _, err := bundle.Create(t.Context(), name, p.Contents, key, p.Source, nil); err != nil {
		t.Fatal(err)
	}
	r, err := bundle.Open([]string{name}, []ssh.PublicKey{key.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := errors.Join(r.Missing(), r.Verify(t.Context(), nil)); err != nil {
		t.Fatal(err)
	}
	return r
}

// debs are the packages of a bundle.
func debs(c *bundle.Contents) []string {
	var all []string
	for _, f := range c.Files {
		if strings.HasSuffix(f.Path, ".deb") {
			all = append(all, filepath.Base(f.Path))
		}
	}
	slices.Sort(all)
	return all
}

// has says whether blobs of that digest lie in the bundle.
func has(c *bundle.Contents, digest string) bool {
	_, here, _ := c.Blob(digest)
	return here
}

// layers are the digests of an image's layers, the lowest first.
func (w *world) layers(of string) []string {
	w.t.Helper()
	layers, err := w.images[of].Layers()
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, l := range layers {
		d, err := l.Digest()
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, d.String())
	}
	return all
}

func TestABundleForABareServerHoldsAllThatItTakes(t *testing.T) {
	w := newWorld(t)
	r := write(t, w.pack())
	c := r.Contents
	if c.Release != "6.4.2" || c.Site != "st-marys" || c.Maker != "pat@laptop" || c.From != ">= 6.2" || !slices.Equal(c.Ubuntu, []string{"noble"}) || len(c.Left) != 0 || len(c.Expires) == 0 {
		t.Errorf("%+v", c)
	}
	// The publishers' own bytes, signatures and all.
	for path, want := range map[string][]byte{
		"apt/valt/dists/noble/InRelease":                     w.apt["dists/noble/InRelease"],
		"apt/valt/dists/noble/main/binary-amd64/Packages.gz": w.apt["dists/noble/main/binary-amd64/Packages.gz"],
		"apt/valt/" + debPath("valt-media", "6.4.2"):         deb("valt-media", "6.4.2"),
		"tuf/metadata/1.root.json":                           w.repo.Root,
		"tuf/metadata/timestamp.json":                        w.repo.Read(t, "metadata/timestamp.json"),
	} {
		if got, err := r.ReadFile(path, 1<<20); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes (%v)", path, len(got), err)
		}
	}
	if got := debs(c); !slices.Equal(got, []string{"ca-certificates_6.4.2_amd64.deb", "valt-host_6.4.2_amd64.deb", "valt-media_6.4.2_amd64.deb"}) {
		t.Errorf("packages %q", got)
	}
	for _, of := range []string{"web 6.4.2", "engine 6.4.2"} {
		for _, l := range w.layers(of) {
			if !has(c, l) {
				t.Errorf("a layer of %s is missing", of)
			}
		}
	}
	if has(c, w.layers("web 6.4.1")[1]) {
		t.Error("a layer of another release is in it")
	}
}

// TestOthersReadTheImages: the bundle unpacked is an OCI image layout.
func TestOthersReadTheImages(t *testing.T) {
	w := newWorld(t)
	p, dir := w.pack(), t.TempDir()
	name := filepath.Join(t.TempDir(), "site.bundle")
	if _, err := bundle.Create(t.Context(), name, p.Contents, signer(t), p.Source, nil); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", dir, "-xf", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := found.IndexManifest()
	if err != nil || len(m.Manifests) != 2 {
		t.Fatalf("%+v (%v)", m, err)
	}
	for _, d := range m.Manifests {
		img, err := found.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 2 {
			t.Errorf("%d layers (%v)", len(layers), err)
		}
	}
}

func TestWhatTheServersHaveIsLeftOut(t *testing.T) {
	w := newWorld(t)
	agent := program(t, 62)
	content, err := os.ReadFile(agent)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	have := []facts.Facts{w.having("app1", "app", "6.4.1"), w.having("media1", "media", "6.4.1"), w.having("media2", "media", "6.4.1")}
	for i := range have {
		have[i].Agents = []string{hex.EncodeToString(sum[:])}
	}
	p := w.pack(func(o *Options) { o.Have, o.Agent = have, agent })
	r := write(t, p)
	c := r.Contents
	for _, of := range []string{"web 6.4.2", "engine 6.4.2"} {
		if l := w.layers(of); has(c, l[0]) || !has(c, l[1]) {
			t.Errorf("%s: its base is in it: %v, its own layer: %v", of, has(c, l[0]), has(c, l[1]))
		}
	}
	if got := debs(c); !slices.Equal(got, []string{"ca-certificates_6.4.2_amd64.deb", "valt-host_6.4.2_amd64.deb", "valt-media_6.4.2_amd64.deb"}) {
		t.Errorf("packages %q", got)
	}
	if digest, ok := r.File(agentFile); !ok || has(c, digest) || !slices.ContainsFunc(c.Left, func(b bundle.Blob) bool { return b.Digest == digest }) {
		t.Errorf("this program, which every server has: %q %v", digest, ok)
	}
	if !slices.Equal(c.Ubuntu, []string{"24.04"}) {
		t.Errorf("for Ubuntu %q", c.Ubuntu)
	}
}

func TestWhatOneServerLacksIsNotLeftOut(t *testing.T) {
	w := newWorld(t)
	bare := w.having("media2", "media", "6.4.1")
	bare.Engine.Images = nil
	p := w.pack(func(o *Options) {
		o.Have = []facts.Facts{w.having("app1", "app", "6.4.1"), w.having("media1", "media", "6.4.1"), bare}
	})
	if !has(p.Contents, w.layers("engine 6.4.2")[0]) {
		t.Error("the base of media2's image is left out")
	}
	if has(p.Contents, w.layers("web 6.4.2")[0]) {
		t.Error("the base of app1's image is in it, and media2 has no use for that")
	}
	if digest, ok := fileOf(p.Contents, agentFile); !ok || !has(p.Contents, digest) {
		t.Error("this program is left out, and no server has it")
	}
}

func TestServersWithAllOfItTakeNothing(t *testing.T) {
	w := newWorld(t)
	// media2's engine has the containerd store, and calls its images by their manifests.
	other := w.having("media2", "media", "6.4.2")
	manifest, err := w.images["engine 6.4.2"].Digest()
	if err != nil {
		t.Fatal(err)
	}
	other.Engine.Images[0].ID = manifest.String()
	c := w.pack(func(o *Options) {
		o.Have = []facts.Facts{w.having("app1", "app", "6.4.2"), w.having("media1", "media", "6.4.2"), other}
	}).Contents
	if got := debs(c); len(got) != 0 {
		t.Errorf("packages %q", got)
	}
	for _, i := range c.Images {
		if has(c, i.Manifest) || has(c, i.Config) {
			t.Errorf("the image %s is in it", i.Repository)
		}
	}
}

func TestAPackageForOtherRolesIsLeftOut(t *testing.T) {
	w := newWorld(t)
	c := w.pack(func(o *Options) { o.Have = []facts.Facts{w.having("app1", "app", "6.4.1")} }).Contents
	if got := debs(c); !slices.Equal(got, []string{"ca-certificates_6.4.2_amd64.deb", "valt-host_6.4.2_amd64.deb"}) {
		t.Errorf("packages %q", got)
	}
}

// TestAptElsewhereIsAskedTheSame: the question and its answer travel as JSON.
func TestAptElsewhereIsAskedTheSame(t *testing.T) {
	w := newWorld(t)
	asked := 0
	there := w.pack(func(o *Options) {
		o.Ask = func(ctx context.Context, q apt.Question) ([]string, error) {
			asked++
			text, err := json.Marshal(q)
			if err != nil {
				return nil, err
			}
			var came apt.Question
			if err := json.Unmarshal(text, &came); err != nil {
				return nil, err
			}
			return apt.Ask(ctx, came)
		}
	})
	if here := w.pack(); asked != 1 || !slices.Equal(debs(there.Contents), debs(here.Contents)) {
		t.Errorf("asked %d times: %q, and here %q", asked, debs(there.Contents), debs(here.Contents))
	}
}

// TestAnAnswerWithOtherFilesIsRefused: a host that is asked cannot have a bundle take what
// no list has.
func TestAnAnswerWithOtherFilesIsRefused(t *testing.T) {
	w := newWorld(t)
	o := w.options()
	o.Ask = func(context.Context, apt.Question) ([]string, error) {
		return []string{"valt/pool/../../etc/shadow"}, nil
	}
	if _, err := Pack(t.Context(), o); err == nil || !strings.Contains(err.Error(), "in no list of packages") {
		t.Errorf("%v", err)
	}
}

func fileOf(c *bundle.Contents, path string) (string, bool) {
	for _, f := range c.Files {
		if f.Path == path {
			return f.Digest, true
		}
	}
	return "", false
}

func TestFactsWithoutPackagesAreRefused(t *testing.T) {
	w := newWorld(t)
	o := w.options()
	o.Have = []facts.Facts{{Hostname: "app1"}}
	if _, err := Pack(t.Context(), o); problem.KindOf(err) != problem.Input || !strings.Contains(err.Error(), "app1") {
		t.Errorf("%v", err)
	}
}

// TestAProgramThatServersCannotRunIsRefused: such as this one of a Windows laptop.
func TestAProgramThatServersCannotRunIsRefused(t *testing.T) {
	w := newWorld(t)
	windows := filepath.Join(t.TempDir(), "valtctl.exe")
	if err := os.WriteFile(windows, []byte("MZ\x90\x00"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"of Windows": windows, "of another processor": program(t, 183), "of no file": filepath.Join(t.TempDir(), "none")} {
		o := w.options()
		o.Agent = file
		_, err := Pack(t.Context(), o)
		if p := problem.All(err); problem.KindOf(err) != problem.Input || len(p) == 0 || !strings.Contains(p[0].Fix, "--agent FILE") {
			t.Errorf("one %s: %v", name, err)
		}
	}
}

// TestARegistryWithOtherImagesIsNotTrusted: the manifest's digest is the release's, or
// nothing is packed.
func TestARegistryWithOtherImagesIsNotTrusted(t *testing.T) {
	w := newWorld(t)
	o := w.options()
	o.HTTP = swapping{o.HTTP}
	if _, err := Pack(t.Context(), o); problem.KindOf(err) != problem.Trust {
		t.Errorf("%v", err)
	}
}

// swapping answers for every manifest with the same other one.
type swapping struct{ through http.RoundTripper }

func (s swapping) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "/manifests/") {
		r = r.Clone(r.Context())
		r.URL.Path = "/v2/valt/web/manifests/6.4.1"
	}
	return s.through.RoundTrip(r)
}

func TestAptsListsMustBeSignedByTheReleasesKey(t *testing.T) {
	w := newWorld(t)
	w.apt["dists/noble/InRelease"] = bytes.Replace(w.apt["dists/noble/InRelease"], []byte("Origin: Practice"), []byte("Origin: Stranger"), 1)
	if _, err := Pack(t.Context(), w.options()); problem.KindOf(err) != problem.Trust {
		t.Errorf("%v", err)
	}
}

// TestAMakingThatWasCutFetchesTheRest, measured where the bytes come from.
func TestAMakingThatWasCutFetchesTheRest(t *testing.T) {
	w := newWorld(t)
	key, name := signer(t), filepath.Join(t.TempDir(), "site.bundle")
	first := w.pack()
	before := w.sent()
	w.cutAfter(before + first.Contents.Size()/2)
	if _, err := bundle.Create(t.Context(), name, first.Contents, key, first.Source, nil); err == nil {
		t.Fatal("it was not cut")
	}
	w.cutAfter(0)
	half := w.sent() - before
	second := w.pack()
	before = w.sent()
	resumed, err := bundle.Create(t.Context(), name, second.Contents, key, second.Source, nil)
	if err != nil {
		t.Fatal(err)
	}
	rest := w.sent() - before
	var largest, remote int64
	for _, b := range first.Contents.Blobs {
		if first.remote[b.Digest] != nil {
			largest, remote = max(largest, b.Size), remote+b.Size
		}
	}
	if resumed == 0 || half+rest > remote+largest {
		t.Errorf("%d and then %d bytes were fetched for %d (saved %d): more than one blob twice", half, rest, remote, resumed)
	}
}

func (w *world) cutAfter(bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after = bytes
}

func (w *world) sent() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var n int64
	for _, b := range w.asked {
		n += b
	}
	return n
}
