package bundler

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/repos/testneeds"
)

// world is what a bundle is made from, in this process: a release repository, a registry,
// and a signed apt repository. Its images have two layers, the lower one the same in every
// release.
type world struct {
	t      *testing.T
	repo   *publishtest.Repository
	server *httptest.Server
	images map[string]v1.Image // "web 6.4.1"
	apt    map[string][]byte   // by path
	key    string              // that signs apt
	site   string              // file

	mu    sync.Mutex
	asked map[string]int64 // bytes by path
	after int64            // the server breaks off after so many bytes of blobs and packages; 0: never
}

// The releases of the world, and a package of each kind in them.
var (
	worldReleases = []string{"6.4.1", "6.4.2"}
	worldPackages = []string{"valt-host", "valt-media", "ca-certificates"}
)

func newWorld(t *testing.T) *world {
	testneeds.Of(t, testneeds.Program("apt-get", "apt"))
	t.Helper()
	w := &world{t: t, repo: publishtest.New(t), images: map[string]v1.Image{}, apt: map[string][]byte{}, asked: map[string]int64{}}
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	mux := http.NewServeMux()
	mux.Handle("/v2/", store)
	mux.HandleFunc("/ubuntu/", func(rw http.ResponseWriter, r *http.Request) {
		content, ok := w.apt[strings.TrimPrefix(r.URL.Path, "/ubuntu/")]
		if !ok {
			http.NotFound(rw, r)
			return
		}
		http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(content))
	})
	w.server = httptest.NewServer(w.counted(mux))
	t.Cleanup(w.server.Close)
	w.publishApt()
	for _, v := range worldReleases {
		w.publish(v)
	}
	w.writeSite()
	return w
}

func (w *world) address() string { return strings.TrimPrefix(w.server.URL, "http://") }

// counted counts what is sent, and breaks off where it is told to.
func (w *world) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&counting{rw, w, r.URL.Path}, r)
	})
}

type counting struct {
	http.ResponseWriter
	w    *world
	path string
}

func (c *counting) Write(p []byte) (int, error) {
	c.w.mu.Lock()
	if strings.Contains(c.path, "/blobs/") || strings.HasSuffix(c.path, ".deb") {
		var sent int64
		for _, n := range c.w.asked {
			sent += n
		}
		if c.w.after > 0 && sent+int64(len(p)) > c.w.after {
			c.w.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		c.w.asked[c.path] += int64(len(p))
	}
	c.w.mu.Unlock()
	return c.ResponseWriter.Write(p)
}

// base is the layer that an image has in every release.
func (w *world) base(image string) v1.Layer {
	for of, img := range w.images {
		if strings.HasPrefix(of, image+" ") {
			layers, err := img.Layers()
			if err != nil {
				w.t.Fatal(err)
			}
			return layers[0]
		}
	}
	l, err := random.Layer(200_000, types.DockerLayer)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// push puts an image of a release into the registry.
func (w *world) push(image, version string) v1.Image {
	w.t.Helper()
	own, err := random.Layer(30_000, types.DockerLayer)
	if err != nil {
		w.t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, w.base(image), own)
	if err != nil {
		w.t.Fatal(err)
	}
	to, err := name.ParseReference(w.address() + "/valt/" + image + ":" + version)
	if err == nil {
		err = remote.Write(to, img)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.images[image+" "+version] = img
	return img
}

// publish makes a release.
func (w *world) publish(version string) {
	w.t.Helper()
	rel := publishtest.Release(version)
	for n, image := range []string{"web", "engine"} {
		img := w.push(image, version)
		manifest, err := img.Digest()
		config, err2 := img.ConfigName()
		if err != nil || err2 != nil {
			w.t.Fatal(err, err2)
		}
		for at, digest := range []v1.Hash{manifest, config} {
			was := "sha256:" + strings.Repeat(fmt.Sprint(1+2*n+at), 64)
			rel.Manifest = bytes.ReplaceAll(rel.Manifest, []byte(was), []byte(digest.String()))
		}
	}
	key, err := json.Marshal(w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	text := strings.Replace(string(rel.Manifest), `"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"`, string(key), 1)
	text = strings.Replace(text, `"packages": [`, `"packages": [{"name": "valt-media", "version": "`+version+`", "roles": ["media"]}, `, 1)
	text = strings.Replace(text, "https://apt.ipivs.com", "http://apt.ipivs.com", 1)
	rel.Manifest = []byte(text)
	w.repo.Change(w.t, func(p *publish.Repository) error {
		if _, err := p.AddRelease(rel); err != nil {
			return err
		}
		return p.SetChannel("stable", version)
	})
}

// deb is the content of a package's file.
func deb(name, version string) []byte {
	return bytes.Repeat([]byte(name+" "+version+"\n"), 500)
}

func debPath(name, version string) string { return "pool/" + name + "_" + version + "_amd64.deb" }

// publishApt makes a repository of one suite, signed by a key of its own.
func (w *world) publishApt() {
	w.t.Helper()
	now := func() time.Time { return w.repo.Now() }
	signer, err := openpgp.NewEntity("Practice", "", "apt@practice.invalid", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: now})
	if err != nil {
		w.t.Fatal(err)
	}
	var list bytes.Buffer
	for _, version := range worldReleases {
		for _, name := range worldPackages {
			content := deb(name, version)
			w.apt[debPath(name, version)] = content
			fmt.Fprintf(&list, "Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: Practice <p@practice.invalid>\nFilename: %s\nSize: %d\nSHA256: %x\nDescription: for practice\n\n",
				name, version, debPath(name, version), len(content), sha256.Sum256(content))
		}
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(list.Bytes()); err != nil {
		w.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.apt["dists/noble/main/binary-amd64/Packages.gz"] = packed.Bytes()
	text := fmt.Sprintf("Origin: Practice\nSuite: noble\nCodename: noble\nDate: %s\nArchitectures: amd64\nComponents: main\nSHA256:\n %x %d main/binary-amd64/Packages.gz\n %x %d main/binary-amd64/Packages\n",
		now().UTC().Format(time.RFC1123), sha256.Sum256(packed.Bytes()), packed.Len(), sha256.Sum256(list.Bytes()), list.Len())
	var signed, public bytes.Buffer
	c, err := clearsign.Encode(&signed, signer.PrivateKey, &packet.Config{Time: now})
	if err == nil {
		_, err = c.Write([]byte(text))
	}
	if err == nil {
		err = c.Close()
	}
	w.apt["dists/noble/InRelease"] = append(signed.Bytes(), '\n')
	a, err2 := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err2 == nil {
		err2 = signer.Serialize(a)
	}
	if err2 == nil {
		err2 = a.Close()
	}
	if err != nil || err2 != nil {
		w.t.Fatal(err, err2)
	}
	w.key = public.String() + "\n"
}

func (w *world) writeSite() {
	w.t.Helper()
	dir := w.t.TempDir()
	w.site = filepath.Join(dir, "site.yaml")
	for name, content := range map[string][]byte{"root.json": w.repo.Root, "site.yaml": []byte(fmt.Sprintf(`
site: st-marys
name: valt.example
ssl: false
release: { channel: stable, url: %q, root: root.json }
clients: [10.0.0.0/16]
network: { endpoints: { docker.ipivs.com: %q, apt.ipivs.com: %q } }
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], recordings: /srv/valt, wowza: { license: physical } }
`, w.repo.URL, w.address(), w.address()))} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// program is a file that hosts can run, as far as its first bytes say.
func program(t *testing.T, machine byte) string {
	t.Helper()
	h := make([]byte, 4096)
	copy(h, "\x7fELF\x02\x01\x01")
	h[16], h[18], h[20] = 2, machine, 1 // an executable, of a machine, version 1 (elf(5))
	h[52], h[54], h[58] = 64, 56, 64
	name := filepath.Join(t.TempDir(), "valtctl")
	if err := os.WriteFile(name, h, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// options are those of one more bundle.
func (w *world) options() Options {
	w.t.Helper()
	s, err := site.Load(w.site, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return Options{Site: s, Ubuntu: []string{"noble"}, HTTP: w.repo.Client.Transport, Agent: program(w.t, 62), Maker: "pat@laptop", Now: w.repo.Now, Note: func(string) {}}
}

// pack makes a bundle's contents, which must work.
func (w *world) pack(edits ...func(*Options)) *Packed {
	w.t.Helper()
	o := w.options()
	for _, edit := range edits {
		edit(&o)
	}
	p, err := Pack(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// having are the facts of a host that has a release.
func (w *world) having(host, role, version string) facts.Facts {
	w.t.Helper()
	image := map[string]string{"app": "web", "media": "engine"}[role]
	img := w.images[image+" "+version]
	config, err := img.ConfigFile()
	id, err2 := img.ConfigName()
	if err != nil || err2 != nil {
		w.t.Fatal(err, err2)
	}
	has := facts.Image{ID: id.String()}
	for _, d := range config.RootFS.DiffIDs {
		has.Layers = append(has.Layers, d.String())
	}
	var status strings.Builder
	for _, p := range worldPackages {
		if p != "valt-media" || role == "media" {
			fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nMaintainer: Practice <p@practice.invalid>\nArchitecture: amd64\nVersion: %s\nDescription: for practice\n\n", p, version)
		}
	}
	return facts.Facts{Hostname: host, OS: facts.OS{ID: "ubuntu", VersionID: "24.04", Codename: "noble"}, DpkgStatus: status.String(),
		Engine:    &facts.EngineFacts{Version: "28.0", Images: []facts.Image{has}},
		Installed: &facts.Installed{Site: "st-marys", Host: host, Roles: []string{role}, Release: version}}
}
