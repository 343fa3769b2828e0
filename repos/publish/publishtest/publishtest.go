// Package publishtest gives tests a real release repository behind a real HTTPS server
// in the same process. It imitates nothing: what it serves was published by
// repos/publish, and tests change its files to play an attacker.
package publishtest

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/release"
)

// Start is the clock at which a Repository is made.
var start = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// Repository is a published repository being served.
type Repository struct {
	Dir    string       // metadata/ and targets/
	Keys   string       // folder of the private keys
	URL    string       // what release.Options.URL takes
	Client *http.Client // trusts the server's certificate
	Root   []byte       // version 1 of the root

	mu     sync.Mutex
	now    time.Time
	asked  []string
	rewire func(http.ResponseWriter, *http.Request) bool
	served *httptest.Server
}

// New makes a repository whose root needs two of three keys, without releases.
func New(t testing.TB) *Repository {
	t.Helper()
	dir := t.TempDir()
	r := &Repository{Dir: filepath.Join(dir, "valt"), Keys: filepath.Join(dir, "keys"), now: start}
	if err := publish.NewKeys(r.keyring(), 3); err != nil {
		t.Fatal(err)
	}
	if _, err := publish.Create(r.options(), 2); err != nil {
		t.Fatal(err)
	}
	r.Root = r.Read(t, "metadata/1.root.json")
	r.served = httptest.NewTLSServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.served.Close)
	r.URL, r.Client = r.served.URL+"/valt/", r.served.Client()
	return r
}

// Published makes a repository with releases 6.4.1 and 6.4.2, stable pointing to the
// newer.
func Published(t testing.TB) *Repository {
	t.Helper()
	r := New(t)
	r.Change(t, func(p *publish.Repository) error {
		for _, v := range []string{"6.4.1", "6.4.2"} {
			if _, err := p.AddRelease(Release(v)); err != nil {
				return err
			}
		}
		return p.SetChannel("stable", "6.4.2")
	})
	return r
}

func (r *Repository) keyring() publish.Keyring { return publish.Keyring{Dirs: []string{r.Keys}} }

func (r *Repository) options() publish.Options {
	return publish.Options{Dir: r.Dir, Keys: r.keyring(), Now: r.Now}
}

// Now is the clock of both the vendor and the reader.
func (r *Repository) Now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// Pass lets time pass.
func (r *Repository) Pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

// Change opens the repository as its publisher and changes it.
func (r *Repository) Change(t testing.TB, change func(*publish.Repository) error) {
	t.Helper()
	p, err := publish.Open(r.options())
	if err == nil {
		err = change(p)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Reader opens the repository as a site does, with its state in dir.
func (r *Repository) Reader(t testing.TB, dir string) *release.Repository {
	t.Helper()
	reader, err := release.Open(r.Options(dir))
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

// Options are those of a site that trusts the repository's first root.
func (r *Repository) Options(dir string) release.Options {
	return release.Options{URL: r.URL, Root: r.Root, Dir: dir, HTTP: r.Client, Now: r.Now}
}

// Rewire hands every request to f first, which returns whether it has answered. Nil
// ends that.
func (r *Repository) Rewire(f func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rewire = f
}

// Asked lists the paths below the repository that were asked for since the last call.
func (r *Repository) Asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}

// Close stops the server, so that the repository is out of reach.
func (r *Repository) Close() { r.served.Close() }

// Read reads a file of the repository.
func (r *Repository) Read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Write replaces a file of the repository, as somebody who holds the server but no key.
func (r *Repository) Write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.Dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r *Repository) serve(w http.ResponseWriter, req *http.Request) {
	name := strings.TrimPrefix(req.URL.Path, "/valt/")
	r.mu.Lock()
	r.asked = append(r.asked, name)
	rewire := r.rewire
	r.mu.Unlock()
	if rewire != nil && rewire(w, req) {
		return
	}
	http.ServeFile(w, req, filepath.Join(r.Dir, filepath.FromSlash(name)))
}

// Release is a small valid release of that version for both roles.
func Release(version string) publish.Release {
	manifest := strings.ReplaceAll(manifestText, "VERSION", version)
	return publish.Release{
		Manifest: []byte(manifest),
		Files: map[string][]byte{
			"compose.app.yaml":   fmt.Appendf(nil, "services:\n  web:\n    image: web # %s\n", version),
			"compose.media.yaml": fmt.Appendf(nil, "services:\n  engine:\n    image: engine # %s\n", version),
		},
	}
}

// Manifest is the text of Release's manifest.
func Manifest(version string) []byte { return bytes.Clone(Release(version).Manifest) }

const manifestText = `{
  "schema": "valtctl/release/v1",
  "version": "VERSION",
  "from": ">= 6.2",
  "beside": {"app": ">= 6.3, < 7", "media": ">= 6.3, < 7"},
  "ubuntu": ["22.04", "24.04"],
  "apt": [{
    "name": "valt", "uri": "https://apt.ipivs.com/ubuntu", "suites": ["{codename}"], "components": ["main"],
    "key": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
  }],
  "packages": [{"name": "ca-certificates"}, {"name": "valt-host", "version": "VERSION", "roles": ["app", "media"]}],
  "images": {
    "web": {"repository": "docker.ipivs.com/valt/web", "platforms": {"linux/amd64": {
      "manifest": "sha256:1111111111111111111111111111111111111111111111111111111111111111",
      "config": "sha256:2222222222222222222222222222222222222222222222222222222222222222", "size": 1000}}},
    "engine": {"repository": "docker.ipivs.com/valt/engine", "platforms": {"linux/amd64": {
      "manifest": "sha256:3333333333333333333333333333333333333333333333333333333333333333",
      "config": "sha256:4444444444444444444444444444444444444444444444444444444444444444", "size": 1000}}}
  },
  "roles": {
    "app": {
      "compose": "releases/VERSION/compose.app.yaml",
      "health": [{"name": "application", "url": "${VALT_SCHEME}://127.0.0.1:${VALT_WEB_PORT}/health", "status": 200, "contains": "ok", "within": "90s"}],
      "directories": [{"path": "/var/lib/valt/db", "mode": "0750", "uid": 999}],
      "passwords": [{"name": "db", "path": "/etc/valt/secrets/db"}],
      "files": [{"path": "/etc/valt/nginx.conf", "mode": "0644", "content": "server_name ${VALT_NAME};\n"}]
    },
    "media": {
      "compose": "releases/VERSION/compose.media.yaml",
      "health": [{"name": "engine", "url": "http://127.0.0.1:8086/", "status": 200, "within": "2m"}]
    }
  },
  "settings": {"recording_days": {"default": "90", "description": "days a recording is kept"}},
  "drain": {"method": "wowza", "control_ports": [8087], "quiet_seconds": 30, "app": "wait"},
  "paths": {"certificate": "/etc/valt/tls/cert.pem", "key": "/etc/valt/tls/key.pem", "licence": "/etc/valt/licence", "compose": "/etc/valt/compose"},
  "dongle": {"vendor": "0529", "product": "0001", "device": "/dev/bus/usb", "service": "engine"}
}
`

// WriteRelease writes a release into a folder as publish.ReadRelease reads it.
func WriteRelease(dir string, rel publish.Release) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing a release: %w", err)
	}
	files := map[string][]byte{"manifest.json": rel.Manifest}
	maps.Copy(files, rel.Files)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("writing a release: %w", err)
		}
	}
	return nil
}
