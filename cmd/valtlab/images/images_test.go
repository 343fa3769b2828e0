package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"ipivs.com/valtctl/cmd/valtlab/rootfs"
)

// roots is a RootWriter that needs no Debian and counts.
type roots struct {
	made int
	err  error
}

func (r *roots) write(_ context.Context, _ rootfs.Recipe, out io.Writer) error {
	r.made++
	_, err := out.Write(testRoot())
	return errors.Join(err, r.err)
}

// testRoot is a root of four packages, one of each layer. A link's target, a file that its
// package lists below /lib, and a folder with a mode of its own are among them.
func testRoot() []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add := func(h tar.Header, content string) {
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			panic(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			panic(err)
		}
	}
	for _, name := range []string{"./", "./usr/", "./usr/bin/", "./usr/lib/", "./usr/lib/mysql/"} {
		add(tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o711}, "")
	}
	add(tar.Header{Name: "./lib", Typeflag: tar.TypeSymlink, Linkname: "usr/lib"}, "")
	add(tar.Header{Name: "./usr/bin/bash", Mode: 0o755}, "bash")
	add(tar.Header{Name: "./usr/bin/mariadb", Mode: 0o755}, "mariadb")
	add(tar.Header{Name: "./usr/bin/mysql", Typeflag: tar.TypeLink, Linkname: "./usr/bin/mariadb", Mode: 0o755}, "")
	add(tar.Header{Name: "./usr/bin/node", Typeflag: tar.TypeSymlink, Linkname: "nodejs"}, "")
	add(tar.Header{Name: "./usr/lib/libmagic.so", Mode: 0o644}, "magic")
	add(tar.Header{Name: "./usr/lib/mysql/plugin", Mode: 0o644}, "plugin")
	for _, list := range [][2]string{{"bash", "/.\n/usr\n/usr/bin\n/usr/bin/bash\n"}, {"mariadb-client", "/usr\n/usr/bin\n/usr/bin/mariadb\n"},
		{"mariadb-server-core", "/lib\n/usr/lib/mysql/plugin\n"}, {"nodejs", "/usr/bin/node\n"}, {"libmagic1:amd64", "/lib\n/lib/libmagic.so\n"}} {
		add(tar.Header{Name: "./var/lib/dpkg/info/" + list[0] + ".list", Mode: 0o644}, list[1])
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func TestEachProgramHasALayerOfItsOwn(t *testing.T) {
	of, err := readOwners(bytes.NewReader(testRoot()))
	if err != nil {
		t.Fatal(err)
	}
	lists := []string{"var/lib/dpkg/info/bash.list", "var/lib/dpkg/info/libmagic1:amd64.list", "var/lib/dpkg/info/mariadb-client.list",
		"var/lib/dpkg/info/mariadb-server-core.list", "var/lib/dpkg/info/nodejs.list"}
	for layer, want := range map[string][]string{
		all:         append([]string{".", "lib", "usr", "usr/bin", "usr/bin/bash", "usr/lib", "usr/lib/mysql"}, lists...),
		"db":        {".", "usr", "usr/bin", "usr/bin/mariadb", "usr/bin/mysql", "usr/lib", "usr/lib/mysql", "usr/lib/mysql/plugin"},
		"messaging": {".", "usr", "usr/bin", "usr/bin/node"},
		"web":       {".", "usr", "usr/lib", "usr/lib/libmagic.so"},
	} {
		var out bytes.Buffer
		if err := of.cut(bytes.NewReader(testRoot()), layer, &out); err != nil {
			t.Fatal(err)
		}
		var got []string
		for archive := tar.NewReader(&out); ; {
			h, err := archive.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeDir && h.Mode != 0o711 {
				t.Errorf("%s: folder %s has mode %o", layer, h.Name, h.Mode)
			}
			got = append(got, path.Clean(h.Name))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("layer %s holds %q, want %q", layer, got, want)
		}
	}
}

// testSet is a set whose programs are a word each.
func testSet(t *testing.T, versions ...string) *Set {
	t.Helper()
	layers, err := base(t.Context(), t.TempDir(), (&roots{}).write)
	if err != nil {
		t.Fatal(err)
	}
	s, err := assemble(layers, programs{app: []byte("entry"), engine: []byte("engine"), camera: []byte("camera")}, versions)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func digests(t *testing.T, images []Image) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, image := range images {
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(image.Repository, Prefix)] = digest.String()
	}
	return all
}

func TestSameSourcesGiveSameDigests(t *testing.T) {
	one, two := digests(t, testSet(t, "6.4.1").Of("6.4.1")), digests(t, testSet(t, "6.4.1").Of("6.4.1"))
	for name, digest := range one {
		if two[name] != digest {
			t.Errorf("%s: %s, then %s", name, digest, two[name])
		}
	}
	if len(one) != 4 {
		t.Errorf("images: %v", one)
	}
}

func TestAnUpdateChangesOnlyWhatShowsTheVersion(t *testing.T) {
	s := testSet(t, "6.4.1", "6.4.2")
	older, newer := digests(t, s.Of("6.4.1")), digests(t, s.Of("6.4.2"))
	for name, changes := range map[string]bool{"web": true, "messaging": true, "db": false, "engine": true} {
		if (older[name] != newer[name]) != changes {
			t.Errorf("%s: %s, then %s", name, older[name], newer[name])
		}
	}
	if got := slices.Sorted(maps.Keys(s.Releases())); !slices.Equal(got, []string{"6.4.1", "6.4.2"}) {
		t.Errorf("versions: %v", got)
	}
}

func TestImagesHoldWhatTheyStart(t *testing.T) {
	for _, image := range testSet(t, "6.4.1").Of("6.4.1") {
		if err := validate.Image(image); err != nil {
			t.Errorf("%s: %v", image.Repository, err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		inside := list(t, image)
		if start := config.Config.Entrypoint[0]; !slices.Contains(inside, strings.TrimPrefix(start, "/")) {
			t.Errorf("%s starts %s and holds only %q", image.Repository, start, inside)
		}
		if config.Config.Labels["com.ipivs.practice"] != "stand-in" {
			t.Errorf("%s does not say that it is a stand-in: %v", image.Repository, config.Config.Labels)
		}
	}
}

// list is the paths in an image.
func list(t *testing.T, image v1.Image) []string {
	t.Helper()
	flat := mutate.Extract(image)
	defer flat.Close()
	var paths []string
	for archive := tar.NewReader(flat); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return paths
		}
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, header.Name)
	}
}

func TestLayersAreMadeOnce(t *testing.T) {
	cache, r := t.TempDir(), &roots{}
	first, err := base(t.Context(), cache, r.write)
	if err != nil {
		t.Fatal(err)
	}
	again, err := base(t.Context(), cache, r.write)
	if err != nil || r.made != 1 {
		t.Fatalf("made %d times, %v", r.made, err)
	}
	for _, layer := range []string{all, "db", "messaging", "web"} {
		want, _ := first[layer].Digest()
		if got, err := again[layer].Digest(); err != nil || got != want {
			t.Errorf("layer %s: %v, then %v, %v", layer, want, got, err)
		}
	}
	for i, file := range []string{"*-web.tar.gz", "*-layers.json"} {
		kept, err := filepath.Glob(filepath.Join(cache, file))
		if err != nil || len(kept) != 1 {
			t.Fatalf("the cache holds %q, %v", kept, err)
		}
		if err := os.Truncate(kept[0], 1); err != nil {
			t.Fatal(err)
		}
		if _, err := base(t.Context(), cache, r.write); err != nil || r.made != 2+i {
			t.Errorf("with a damaged %s: made %d times, %v", file, r.made, err)
		}
	}
}

func TestUnfinishedLayersAreNotKept(t *testing.T) {
	cache, broken := t.TempDir(), errors.New("no more packages")
	if _, err := base(t.Context(), cache, (&roots{err: broken}).write); !errors.Is(err, broken) {
		t.Errorf("error: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || len(left) != 1 || filepath.Ext(left[0]) != ".lock" {
		t.Errorf("left in the cache: %q, %v", left, err)
	}
}

// passwordRegistry is a real registry in this process that asks for a password.
func passwordRegistry(t *testing.T) *httptest.Server {
	t.Helper()
	next := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "practice" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// toServer sends every request to one server, whatever host it names.
type toServer struct{ host string }

func (t toServer) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r.Clone(r.Context())
	sent.URL.Scheme, sent.URL.Host = "http", t.host
	answer, err := http.DefaultTransport.RoundTrip(sent)
	if answer != nil {
		answer.Request = r // relative locations are meant under the registry's name
	}
	return answer, err
}

func TestPushedImagesArePulledByDigest(t *testing.T) {
	server := passwordRegistry(t)
	transport := toServer{strings.TrimPrefix(server.URL, "http://")}
	s := testSet(t, "6.4.1", "6.4.2")
	if err := s.Push(t.Context(), Registry{transport, "practice", "wrong"}); err == nil {
		t.Fatal("pushed with a wrong password")
	}
	for range 2 { // the second has nothing to send
		if err := s.Push(t.Context(), Registry{transport, "practice", "secret"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range slices.Sorted(maps.Keys(s.Releases())) {
		for short, digest := range digests(t, s.Of(version)) {
			ref, err := name.NewDigest(Prefix + short + "@" + digest)
			if err != nil {
				t.Fatal(err)
			}
			image, err := remote.Image(ref, remote.WithTransport(transport), remote.WithAuth(&authn.Basic{Username: "practice", Password: "secret"}))
			if err != nil {
				t.Errorf("%s of %s: %v", short, version, err)
				continue
			}
			if err := validate.Image(image); err != nil {
				t.Errorf("%s of %s: %v", short, version, err)
			}
		}
	}
}

func TestCompressingNamesBothHashes(t *testing.T) {
	var packed bytes.Buffer
	b, err := compress(strings.NewReader(""), &packed)
	if err != nil {
		t.Fatal(err)
	}
	// SHA-256 of nothing (FIPS 180-4's well-known value).
	if b.Diffed.Hex != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" || b.Length != int64(packed.Len()) {
		t.Errorf("%+v of %d bytes", b, packed.Len())
	}
}
