package installer_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"

	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/host/hosttest"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
)

// practice is a site of one application and one media server in this process, and the
// release repository it installs from.
type practice struct {
	t        *testing.T
	repo     *publishtest.Repository
	dir      string // of the site file
	stateDir string
	hosts    map[string]*hosttest.Host

	mu     sync.Mutex
	events []event.Event
	onEach func(event.Event)
	down   map[string]error // hosts that cannot be reached
}

const practiceSite = `
site: st-marys
name: valt.example
ssl: false
release: { version: 6.4.2, url: "URL", root: root.json }
registry: { username: st-marys, password_file: registry }
clients: [10.0.0.0/16]
network: { trust: [server.pem] }
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], recordings: /srv/valt, wowza: { key_file: licence } }
`

func newPractice(t *testing.T) *practice {
	t.Helper()
	p := &practice{t: t, repo: published(t), dir: t.TempDir(), stateDir: t.TempDir(), down: map[string]error{}, hosts: map[string]*hosttest.Host{}}
	for _, name := range []string{"app1", "media1"} {
		p.hosts[name] = hosttest.New(t, time.Now)
	}
	p.write("site.yaml", []byte(strings.ReplaceAll(practiceSite, "URL", p.repo.URL)))
	p.write("root.json", p.repo.Root)
	p.write("registry", []byte("registry-secret\n"))
	p.write("licence", []byte("EDEV4-aaaaa-bbbbb-ccccc-ddddd-eeeee-fffffffffff\n"))
	p.write("server.pem", serverCertificate(t, p.repo.URL))
	return p
}

// published is a repository with a release whose Compose files a plan can be made of.
func published(t *testing.T) *publishtest.Repository {
	t.Helper()
	repo := publishtest.New(t)
	repo.Change(t, func(p *publish.Repository) error {
		for _, v := range []string{"6.4.1", "6.4.2"} {
			rel := publishtest.Release(v)
			for name, text := range rel.Files {
				rel.Files[name] = bytes.ReplaceAll(text, []byte("image: "), []byte("image: docker.ipivs.com/valt/"))
			}
			if _, err := p.AddRelease(rel); err != nil {
				return err
			}
		}
		return p.SetChannel("stable", "6.4.2")
	})
	return repo
}

// serverCertificate is what the repository's server shows, for the site to trust.
func serverCertificate(t *testing.T, url string) []byte {
	t.Helper()
	address, _, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw})
}

func (p *practice) write(name string, content []byte) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), content, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// edit changes the site file.
func (p *practice) edit(from, to string) {
	p.t.Helper()
	path := filepath.Join(p.dir, "site.yaml")
	content, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(content, []byte(from)) {
		p.t.Fatalf("editing the site file: no %q, %v", from, err)
	}
	p.write("site.yaml", bytes.ReplaceAll(content, []byte(from), []byte(to)))
}

// options are those of one more run.
func (p *practice) options() installer.Options {
	p.t.Helper()
	s, err := site.Load(filepath.Join(p.dir, "site.yaml"), "")
	if err != nil {
		p.t.Fatal(err)
	}
	return installer.Options{SkipChecks: true, Options: fleet.Options{Site: s, Dial: p.connect, StateDir: p.stateDir, Run: "run-1", Who: "pat@laptop",
		Now: p.repo.Now, Observer: p}}
}

func (p *practice) connect(ctx context.Context, h site.Host, _ func(done, total int64)) (io.ReadWriteCloser, error) {
	p.mu.Lock()
	err := p.down[h.Name]
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return p.hosts[h.Name].Connect(ctx)
}

// Observe keeps what happened.
func (p *practice) Observe(e event.Event) {
	p.mu.Lock()
	p.events = append(p.events, e)
	do := p.onEach
	p.mu.Unlock()
	if do != nil {
		do(e)
	}
}

// saw says whether an event of that kind had text in it.
func (p *practice) saw(kind event.Kind, text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.events, func(e event.Event) bool { return e.Kind == kind && strings.Contains(e.Text, text) })
}

// install runs one more installation, which must succeed.
func (p *practice) install(edits ...func(*installer.Options)) *installer.Result {
	p.t.Helper()
	result, err := p.try(edits...)
	if err != nil {
		p.t.Fatal(err)
	}
	return result
}

func (p *practice) try(edits ...func(*installer.Options)) (*installer.Result, error) {
	p.t.Helper()
	o := p.options()
	for _, edit := range edits {
		edit(&o)
	}
	return installer.Install(p.t.Context(), o)
}

// calls checks which calls each host got since it was last asked.
func (p *practice) calls(want ...string) {
	p.t.Helper()
	for name, h := range p.hosts {
		if got := h.Calls(); !slices.Equal(got, want) {
			p.t.Errorf("%s was called for %q, want %q", name, got, want)
		}
	}
}

// untouched checks that nothing was begun anywhere.
func (p *practice) untouched() {
	p.t.Helper()
	for name, h := range p.hosts {
		if n := len(h.Transactions()); n != 0 || h.Changes() != 0 {
			p.t.Errorf("%s has %d transactions and %d changes", name, n, h.Changes())
		}
	}
}
