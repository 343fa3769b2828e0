package docker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testneeds"
)

// Who may pull from the tests' registry.
const (
	testUser     = "st-marys"
	testPassword = "let-me-in"
)

// testRegistry is a registry with TLS and a password, and the CA of its certificate.
type testRegistry struct {
	host string // address:port
	ca   []byte // PEM
	rt   http.RoundTripper
}

// startRegistry listens on docker0's address: on 127.0.0.0/8 the engine would not verify
// the certificate (dockerd's built-in insecure registries).
func startRegistry(t *testing.T) testRegistry {
	t.Helper()
	testneeds.Of(t, testneeds.Root, testneeds.Engine)
	address := docker0(t)
	certificate, ca := certificateFor(t, address)
	inside := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != testUser || password != testPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			return
		}
		inside.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	listener, err := net.Listen("tcp", net.JoinHostPort(address.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	server.Listener.Close()
	server.Listener = listener
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return testRegistry{listener.Addr().String(), ca, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

// docker0 is the address of the engine's default bridge on this machine.
func docker0(t *testing.T) net.IP {
	t.Helper()
	bridge, err := net.InterfaceByName("docker0")
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := bridge.Addrs()
	if err != nil || len(addresses) == 0 {
		t.Fatalf("docker0 has no address: %v", err)
	}
	return addresses[0].(*net.IPNet).IP
}

// certificateFor is a self-signed certificate that is its own authority.
func certificateFor(t *testing.T, address net.IP, names ...string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{address}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// trust makes the engine of this machine know the registry's CA.
func (r testRegistry) trust(t *testing.T) {
	t.Helper()
	dir := filepath.Join(certsDir, r.host)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), r.ca, 0o644); err != nil {
		t.Fatal(err)
	}
}

// push publishes an image and says how it is to be asked for.
func (r testRegistry) push(t *testing.T, img v1.Image) ImageParams {
	t.Helper()
	d := digestsOf(t, img)
	reference, err := name.NewDigest(r.host + "/valt/web@" + d.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	login := &authn.Basic{Username: testUser, Password: testPassword}
	if err := remote.Write(reference, img, remote.WithTransport(r.rt), remote.WithAuth(login), remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	forget(t, d)
	return ImageParams{Name: "web", Repository: r.host + "/valt/web", Digests: d, Size: 1 << 20,
		Username: testUser, PasswordSecret: "registry"}
}

func TestImageIsPulledByDigestWithALogin(t *testing.T) {
	r := startRegistry(t)
	r.trust(t)
	p := r.push(t, layered(t, 1<<20)) // of bytes that no engine has
	h := engineMachine(map[string]string{"registry": testPassword + "\n"})
	var last step.Progress
	h.Progress = func(p step.Progress) { last = p }
	found := steptest.Settles(t, steptest.MakeStep(t, ImageKind(), p), h)
	if found.Disrupts != step.Nothing || strings.Contains(found.Diff, testPassword) {
		t.Errorf("%+v", found)
	}
	if last.Done != p.Size || last.Total != p.Size {
		t.Errorf("progress ended at %+v", last)
	}
}

func TestImageThatWasLoadedCounts(t *testing.T) {
	d := load(t, probeImage(t, ""))
	engine := dockerOf(t, engineMachine(nil))
	found, err := engine.ImageInspect(t.Context(), loadedTag(t, d))
	if err != nil || found.ID == d.Manifest {
		t.Fatalf("the test's image has the manifest that a registry has: %v, %v", found.ID, err)
	}
	p := ImageParams{Name: "web", Repository: "docker.invalid/valt/web", Digests: d}
	if f := steptest.Settles(t, steptest.MakeStep(t, ImageKind(), p), engineMachine(nil)); !strings.Contains(f.Diff, "+ tag ") {
		t.Errorf("not only a tag: %s", f.Diff)
	}
}

// What can go wrong with a registry, each with its way out and never with the password.
func TestImagePullFailuresSayWhatToDo(t *testing.T) {
	r := startRegistry(t)
	untrusted := startRegistry(t)
	r.trust(t)
	for what, c := range map[string]struct {
		spoil    func(*ImageParams)
		password string
		fix      string
		kind     problem.Kind
	}{
		"wrong password":   {func(*ImageParams) {}, "hunter2-wrong", "registry.password_file", problem.Failed},
		"no login":         {func(p *ImageParams) { p.PasswordSecret = "" }, testPassword, "registry.username", problem.Failed},
		"unknown manifest": {func(p *ImageParams) { p.Digests.Manifest = "sha256:" + strings.Repeat("a", 64) }, testPassword, "does not have this image", problem.Failed},
		"unknown CA":       {func(p *ImageParams) { p.Repository = untrusted.host + "/valt/web" }, testPassword, "network.trust", problem.Failed},
		"another image":    {anotherConfig, testPassword, "tell the vendor", problem.Trust},
		"no space":         {func(p *ImageParams) { p.Size = 1 << 55 }, testPassword, "free space", problem.Check},
	} {
		t.Run(what, func(t *testing.T) {
			// An image of its own: the engine does not ask again for a manifest it knows.
			p := r.push(t, probeImage(t, ""))
			c.spoil(&p)
			err := steptest.MakeStep(t, ImageKind(), p).Apply(t.Context(), engineMachine(map[string]string{"registry": c.password}))
			var told *problem.Error
			if !errors.As(err, &told) {
				t.Fatalf("not a problem: %v", err)
			}
			if !strings.Contains(told.Fix, c.fix) || told.Kind != c.kind {
				t.Errorf("kind %v, fix %q: %v", told.Kind, told.Fix, err)
			}
			if !strings.Contains(err.Error(), p.Repository) || strings.Contains(err.Error(), c.password) {
				t.Errorf("the error must name the image and not the password: %v", err)
			}
		})
	}
}

func anotherConfig(p *ImageParams) { p.Digests.Config = "sha256:" + strings.Repeat("b", 64) }

// Some words of the engine need an outside name or a full disk to come by.
func TestImageErrorsOfTheEngineAreUnderstood(t *testing.T) {
	s := &imageStep{ImageParams: ImageParams{Repository: "docker.ipivs.com/valt/web", Digests: ImageDigests{Manifest: "sha256:m"}}}
	for text, want := range map[string]string{
		"dial tcp: lookup docker.ipivs.com on 10.0.0.53:53: no such host":                                                      "network.dns",
		"write /var/lib/docker/tmp/x: no space left on device":                                                                 "free space",
		"proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused":                                                "network.proxy",
		"net/http: request canceled (Client.Timeout exceeded while awaiting headers)":                                          "",
		"dial tcp 10.0.0.1:443: i/o timeout":                                                                                   "valtctl check network",
		"x509: certificate has expired or is not yet valid: current time is after 2020":                                        "clock",
		"x509: certificate signed by unknown authority":                                                                        "network.trust",
		"Head \"https://x/v2/\": denied: requested access to the resource is denied, 403":                                      "registry.password_file",
		`unknown: {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`:                                       "synchronised",
		`failed to resolve reference "docker.ipivs.com/valt/web@sha256:m": docker.ipivs.com/valt/web@sha256:m: not found`:      "synchronised",
		`failed to resolve reference "x": unexpected status from HEAD request to https://x/v2/w/manifests/m: 401 Unauthorized`: "registry.password_file",
		`failed to resolve reference "x": failed to do request: dial tcp: lookup x on 10.0.0.53:53: no such host`:              "network.dns",
		`toomanyrequests: you have reached your pull rate limit`:                                                               "asked too often",
	} {
		var told *problem.Error
		if err := s.explain(errors.New(text)); !errors.As(err, &told) || !strings.Contains(told.Fix, want) {
			t.Errorf("%s: fix %q", text, told.Fix)
		}
	}
}

func TestOnlyABrokenConnectionIsTriedAgain(t *testing.T) {
	for text, want := range map[string]bool{
		"read: connection reset by peer": true, "unexpected EOF": true, "i/o timeout": true, "503 Service Unavailable": true,
		"unauthorized: authentication required": false, "manifest unknown": false, "x509: timeout of trust": false,
	} {
		if got := worthRetrying(errors.New(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestPullProgressAddsUpTheLayers(t *testing.T) {
	stream := `{"status":"Pulling from valt/web"}
{"id":"a","status":"Downloading","progressDetail":{"current":10,"total":100}}
{"id":"b","status":"Downloading","progressDetail":{"current":5,"total":50}}
{"id":"a","status":"Downloading","progressDetail":{"current":100,"total":100}}
{"id":"a","status":"Extracting","progressDetail":{"current":500,"total":500}}
{"id":"c","status":"Already exists"}
`
	var done []int64
	s := &imageStep{ImageParams: ImageParams{Name: "web", Size: 150}}
	if err := s.follow(strings.NewReader(stream), func(p step.Progress) { done = append(done, p.Done) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(done, []int64{10, 15, 105, 150}) { // at the end all is there, whatever the engine told
		t.Errorf("%v", done)
	}
	if err := s.follow(strings.NewReader(`{"error":"manifest unknown"}`), func(step.Progress) {}); err == nil || err.Error() != "manifest unknown" {
		t.Errorf("the engine's error was lost: %v", err)
	}
	if err := s.follow(strings.NewReader(`{"id":`), func(step.Progress) {}); err == nil {
		t.Error("a torn answer counts as success")
	}
}

func TestImageBeforeThereIsAnEngine(t *testing.T) {
	p := ImageParams{Name: "web", Repository: "docker.ipivs.com/valt/web", Digests: ImageDigests{Manifest: "sha256:m", Config: "sha256:c"}, Size: 10}
	f, err := steptest.MakeStep(t, ImageKind(), p).Inspect(t.Context(), steptest.RootMachine(t, nil))
	if err != nil || !f.Change || !strings.Contains(f.Diff, "docker.ipivs.com/valt/web@sha256:m (10 bytes)") {
		t.Errorf("%+v, %v", f, err)
	}
}

// `docker image prune` between fetch and apply must not take the image away.
func TestImageIsNotDangling(t *testing.T) {
	r := startRegistry(t)
	r.trust(t)
	p := r.push(t, probeImage(t, ""))
	h := engineMachine(map[string]string{"registry": testPassword})
	steptest.Settles(t, steptest.MakeStep(t, ImageKind(), p), h)
	list, err := dockerOf(t, h).ImageList(context.WithoutCancel(t.Context()), image.ListOptions{Filters: danglingImages()})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if i.ID == idOf(t, p.Digests) {
			t.Error("the image is dangling")
		}
	}
}
