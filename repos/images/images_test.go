package images

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"ipivs.com/valtctl/repos/problem"
)

// stored is a registry with one image, behind a password, which may spoil answers.
func stored(t *testing.T, spoil func(w http.ResponseWriter, r *http.Request) bool) (repository string, img v1.Image) {
	t.Helper()
	inner := registry.New()
	open := httptest.NewServer(inner)
	t.Cleanup(open.Close)
	img, err := random.Image(20_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	to, err := name.ParseReference(strings.TrimPrefix(open.URL, "http://") + "/valt/web:one")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(to, img); err != nil {
		t.Fatal(err)
	}
	closed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "st-marys" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="valt"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if spoil == nil || !spoil(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(closed.Close)
	return strings.TrimPrefix(closed.URL, "http://") + "/valt/web", img
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func TestAnImageIsReadWithItsLayers(t *testing.T) {
	repository, img := stored(t, nil)
	r, err := Open(repository, "st-marys", "secret", http.DefaultTransport)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Image(t.Context(), digest(t, img))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil || len(got.Layers) != len(layers) {
		t.Fatalf("%d layers, want %d (%v)", len(got.Layers), len(layers), err)
	}
	for i, l := range layers {
		want, err := l.Digest()
		diff, err2 := l.DiffID()
		if err != nil || err2 != nil || got.Layers[i].Digest != want.String() || got.Layers[i].DiffID != diff.String() {
			t.Errorf("layer %d is %+v, want %s (%v %v)", i, got.Layers[i], want, err, err2)
		}
	}
	whole, err := read(t.Context(), r, got.Layers[0], 0)
	if err != nil || int64(len(whole)) != got.Layers[0].Size {
		t.Fatalf("%d bytes (%v)", len(whole), err)
	}
	rest, err := read(t.Context(), r, got.Layers[0], 1000)
	if err != nil || rest != whole[1000:] {
		t.Errorf("from the middle on: %d bytes (%v)", len(rest), err)
	}
}

func read(ctx context.Context, r *Repository, b Blob, offset int64) (string, error) {
	in, err := r.Blob(ctx, b.Digest, b.Size, offset)
	if err != nil {
		return "", err
	}
	defer in.Close()
	text, err := io.ReadAll(in)
	return string(text), err
}

func TestWhatARegistryRefusesSaysWhatToDo(t *testing.T) {
	repository, img := stored(t, nil)
	if _, err := Open(repository, "st-marys", "secret", http.DefaultTransport); err != nil {
		t.Fatal(err)
	}
	r, err := Open(repository, "st-marys", "wrong", http.DefaultTransport)
	if err == nil {
		_, err = r.Image(t.Context(), digest(t, img))
	}
	if p := problem.All(err); len(p) == 0 || !strings.Contains(p[0].Fix, "password") {
		t.Errorf("a wrong password: %v", err)
	}
	if r, err = Open(repository, "st-marys", "secret", http.DefaultTransport); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Image(t.Context(), "sha256:"+strings.Repeat("0", 64)); err == nil || !strings.Contains(problem.All(err)[0].Fix, "tell the vendor") {
		t.Errorf("what is not there: %v", err)
	}
}

func TestAnotherManifestIsNotTrusted(t *testing.T) {
	repository, img := stored(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		_, _ = w.Write([]byte(`{"schemaVersion":2,"layers":[]}`))
		return true
	})
	r, err := Open(repository, "st-marys", "secret", http.DefaultTransport)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Image(t.Context(), digest(t, img)); problem.KindOf(err) != problem.Trust {
		t.Errorf("%v", err)
	}
}
