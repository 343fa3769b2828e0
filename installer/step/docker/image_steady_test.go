package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
)

// layered is an image of random layers of so many bytes.
func layered(t *testing.T, sizes ...int64) v1.Image {
	t.Helper()
	img := v1.Image(empty.Image)
	for _, size := range sizes {
		layer, err := random.Layer(size, types.DockerLayer)
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	file, err := img.ConfigFile()
	if err == nil {
		file.Architecture, file.OS = "amd64", "linux"
		img, err = mutate.ConfigFile(img, file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// bringing is a run's bundle with one image, brought by one controller after the other: each
// answers at a port of its own, with a password of its own.
type bringing struct {
	ImageParams
	blobs map[string][]byte // by digest
	bytes int64             // of all layers

	mu      sync.Mutex
	server  *httptest.Server
	now     step.Carried
	served  int64          // bytes of layers
	asked   map[string]int // how often each layer was
	quits   int64          // after so many bytes of layers the controller is gone; 0: never
	dying   bool           // it is going: nothing is answered any more
	runs    int            // controllers so far
	gone    chan struct{}  // told when a controller is
	onWaits func()         // called when the image waits
}

func bring(t *testing.T, img v1.Image) *bringing {
	t.Helper()
	b := &bringing{blobs: map[string][]byte{}, asked: map[string]int{}, gone: make(chan struct{}, 100)}
	d := digestsOf(t, img)
	forget(t, d)
	var err error
	if b.blobs[d.Manifest], err = img.RawManifest(); err != nil {
		t.Fatal(err)
	}
	if b.blobs[d.Config], err = img.RawConfigFile(); err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		in, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		b.blobs[digest.String()], b.asked[digest.String()] = content, 0
		b.bytes += int64(len(content))
	}
	b.next()
	t.Cleanup(func() { b.server.Close() })
	b.ImageParams = ImageParams{Name: "web", Repository: "docker.invalid/valt/web", Digests: d, Size: 1 << 20, Bundle: "bundle"}
	return b
}

// serve answers as a run's bundle does: what is asked for by its digest.
func (b *bringing) serve(w http.ResponseWriter, r *http.Request) {
	content, ok := b.blobs[path.Base(r.URL.Path)]
	switch {
	case r.URL.Path == "/v2/":
		return
	case !ok:
		http.NotFound(w, r)
		return
	case strings.Contains(r.URL.Path, "/manifests/"):
		w.Header().Set("Content-Type", string(types.DockerManifestSchema2))
	}
	w.Header().Set("Docker-Content-Digest", path.Base(r.URL.Path))
	http.ServeContent(&counting{ResponseWriter: w, b: b, layer: b.layer(r)}, r, "", time.Time{}, bytes.NewReader(content))
}

// next is another controller that brings the bundle.
func (b *bringing) next() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs++
	b.dying = false
	b.now.User, b.now.Password = "bundle", testPassword+strings.Repeat("!", b.runs)
	password := b.now.Password
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, given, _ := r.BasicAuth(); user != "bundle" || given != password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		b.serve(w, r)
	}))
	b.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	b.now.Address = strings.TrimPrefix(b.server.URL, "http://")
}

// layer counts that a layer is asked for.
func (b *bringing) layer(r *http.Request) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	digest := path.Base(r.URL.Path)
	if _, known := b.asked[digest]; !known || r.Method != http.MethodGet {
		return false
	}
	b.asked[digest]++
	return true
}

// counting counts the bytes of a layer, and is gone in the middle of one.
type counting struct {
	http.ResponseWriter
	b     *bringing
	layer bool
}

func (c *counting) Write(p []byte) (int, error) {
	if !c.layer {
		return c.ResponseWriter.Write(p)
	}
	c.b.mu.Lock()
	quit := !c.b.dying && c.b.quits > 0 && c.b.served >= c.b.quits
	if quit {
		c.b.quits, c.b.dying = 0, true
	}
	dying, server := c.b.dying, c.b.server
	c.b.mu.Unlock()
	if dying && !quit {
		panic(http.ErrAbortHandler)
	}
	if quit {
		go func() {
			server.CloseClientConnections()
			server.Close()
			c.b.gone <- struct{}{}
		}()
		panic(http.ErrAbortHandler)
	}
	n, err := c.ResponseWriter.Write(p[:min(len(p), 32<<10)])
	if err == nil && n < len(p) {
		var more int
		c.b.count(n)
		more, err = c.Write(p[n:])
		return n + more, err
	}
	c.b.count(n)
	return n, err
}

func (b *bringing) count(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.served += int64(n)
}

// machine is the host that the bundle is brought to.
func (b *bringing) machine() *step.Machine {
	m := engineMachine(nil)
	m.Secret = func(string) ([]byte, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return json.Marshal(b.now)
	}
	m.Progress = func(p step.Progress) {
		if strings.Contains(p.Text, "waits for the bundle") && b.onWaits != nil {
			b.onWaits()
		}
	}
	return m
}

// TestAnImageOutlivesItsControllers pulls with the real engine, while one controller after the
// other goes away in the middle of a layer: nothing that came has to come again.
func TestAnImageOutlivesItsControllers(t *testing.T) {
	b := bring(t, layered(t, 3<<20, 1<<20, 5<<20, 2<<20))
	b.quits = b.bytes / 5 // the first of five
	told := make(chan struct{}, 100)
	b.onWaits = func() { told <- struct{}{} }
	const controllers = 5
	go func() {
		for n := int64(2); n <= controllers; n++ {
			<-b.gone
			<-told // a person reads how to go on
			b.mu.Lock()
			if b.quits = 0; n < controllers {
				b.quits = b.bytes * n / controllers
			}
			b.mu.Unlock()
			b.next()
		}
	}()
	steptest.Settles(t, steptest.MakeStep(t, ImageKind(), b.ImageParams), b.machine())
	// What a broken connection had in its buffers may come again.
	const buffers = 4 << 20
	b.mu.Lock() // a connection that was broken may still be counted
	defer b.mu.Unlock()
	if b.runs != controllers || b.served > b.bytes+buffers {
		t.Errorf("%d controllers served %d bytes of %d", b.runs, b.served, b.bytes)
	}
}

func TestAnUndisturbedImageComesOnce(t *testing.T) {
	b := bring(t, layered(t, 1<<20, 2<<20))
	steptest.Settles(t, steptest.MakeStep(t, ImageKind(), b.ImageParams), b.machine())
	for digest, n := range b.asked {
		if n != 1 {
			t.Errorf("%s was asked for %d times", digest, n)
		}
	}
	if b.served != b.bytes {
		t.Errorf("%d bytes of %d were served", b.served, b.bytes)
	}
}

// TestAnImageWhoseBundleStaysAwayFails, and what came before is told to be lost by nobody.
func TestAnImageWhoseBundleStaysAwayFails(t *testing.T) {
	for what, spoil := range map[string]func(*bringing){
		"gone":           func(b *bringing) { b.server.Close() },
		"other password": func(b *bringing) { b.now.Password = "another's" },
		"unknown":        func(b *bringing) { b.Digests.Manifest = "sha256:" + strings.Repeat("a", 64) },
	} {
		b := bring(t, layered(t, 1000))
		spoil(b)
		err := (&imageStep{b.ImageParams, &absence{}}).pull(t.Context(), b.machine(), dockerOf(t, b.machine()))
		var told *problem.Error
		if err == nil {
			t.Fatalf("%s: it was pulled", what)
		}
		if err = (&imageStep{ImageParams: b.ImageParams}).explain(err); !errors.As(err, &told) || !strings.Contains(told.Fix, "resume --bundle") || strings.Contains(err.Error(), testPassword) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestOnlyTheEngineIsHandedABundle: other users of the host have no password.
func TestOnlyTheEngineIsHandedABundle(t *testing.T) {
	asked := false
	s, err := serveSteady(func() (step.Carried, error) { asked = true; return step.Carried{}, step.ErrSecretGone }, func() {}, &absence{patience: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	status := func(method, password string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Address+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(steadyUser, password)
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		return reply.StatusCode
	}
	if got := status(http.MethodGet, "guessed"); got != http.StatusUnauthorized || asked {
		t.Errorf("a stranger is answered %d", got)
	}
	if got := status(http.MethodPut, s.Password); got != http.StatusMethodNotAllowed || asked {
		t.Errorf("writing is answered %d", got)
	}
	if got := status(http.MethodGet, s.Password); got != http.StatusBadGateway {
		t.Errorf("without a bundle it is answered %d", got)
	}
}

// nowhere is a bundle that does not answer.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

// TestABundleIsWaitedForOnceInAll: an engine asks again and again, and each time would be long.
func TestABundleIsWaitedForOnceInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits, began := 0, time.Now()
		absent := &absence{patience: patience}
		s := &steady{from: func() (step.Carried, error) { return step.Carried{Address: "127.0.0.1:1"}, nil }, waiting: func() { waits++ },
			absent: absent, bundle: &http.Client{Transport: nowhere{}}}
		for range 3 {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/", nil)
			if _, err := s.ask(r, ""); err == nil {
				t.Fatal("somebody answered")
			}
		}
		if waits != 1 || !absent.isTooLong() || time.Since(began) > patience+askEvery {
			t.Errorf("it was waited for %d times, %s", waits, time.Since(began))
		}
		if absent.ended(); absent.isTooLong() {
			t.Error("a bundle that is back is away too long")
		}
	})
}

// TestAnotherAnswerIsNotGoneOnWith: a bundle that answers differently the second time.
func TestAnotherAnswerIsNotGoneOnWith(t *testing.T) {
	whole := strings.Repeat("layer", 1000)
	for what, second := range map[string]func(http.ResponseWriter){
		"all of it again": func(w http.ResponseWriter) { _, _ = io.WriteString(w, whole) },
		"a longer one": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "6000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, strings.Repeat("x", 6000))
		},
		"none": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
	} {
		var parts []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if parts = append(parts, r.Header.Get("Range")); len(parts) > 1 {
				second(w)
				return
			}
			w.Header().Set("Content-Length", "5000")
			_, _ = io.WriteString(w, whole[:2000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		s, err := serveSteady(func() (step.Carried, error) {
			return step.Carried{Address: strings.TrimPrefix(server.URL, "http://")}, nil
		}, func() {}, &absence{patience: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Address+"/v2/valt/web/blobs/sha256:a", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(steadyUser, s.Password)
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err == nil || !slices.Equal(parts, []string{"", "bytes=2000-"}) || string(got) != whole[:2000] {
			t.Errorf("%s: %d bytes after asking for %q: %v", what, len(got), parts, err)
		}
		s.Close()
		server.Close()
	}
}

// TestAnotherPasswordIsWaitedFor: a controller that connects again has another password, which the host is told a
// moment later. The engine learns nothing of that.
func TestAnotherPasswordIsWaitedFor(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "second" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "layer")
	}))
	defer server.Close()
	s, err := serveSteady(func() (step.Carried, error) {
		asked++
		return step.Carried{Address: strings.TrimPrefix(server.URL, "http://"), Password: []string{"first", "second"}[min(asked-1, 1)]}, nil
	}, func() {}, &absence{patience: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Address+"/v2/valt/web/blobs/sha256:a", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(steadyUser, s.Password)
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if text, err := io.ReadAll(reply.Body); err != nil || string(text) != "layer" || reply.StatusCode != http.StatusOK || asked != 2 {
		t.Errorf("after %d tries it is answered %s %q, %v", asked, reply.Status, text, err)
	}
}
