package updater_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/repos/sleep"
)

// fromBundle is how a command ends that takes a bundle instead of the repository.
const fromBundle = " from the bundle"

// bundled makes a bundle of the repository as it is, and opens it.
func bundled(t *testing.T, repo *publishtest.Repository) *bundle.Reader {
	t.Helper()
	contents, blobs := &bundle.Contents{Release: newRelease, Also: []string{oldRelease}, Made: repo.Now(), Maker: "pat@laptop"}, map[string][]byte{}
	err := filepath.WalkDir(repo.Dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(repo.Dir, path) // both are of one folder
		if err != nil || d.IsDir() || !strings.HasPrefix(name, "metadata") && !strings.HasPrefix(name, "targets") {
			return err
		}
		content := repo.Read(t, name)
		sum := sha256.Sum256(content)
		digest := "sha256:" + hex.EncodeToString(sum[:])
		if blobs[digest] == nil {
			contents.Blobs = append(contents.Blobs, bundle.Blob{Digest: digest, Size: int64(len(content)), MediaType: bundle.MediaFile})
		}
		blobs[digest] = content
		contents.Files = append(contents.Files, bundle.File{Path: "tuf/" + name, Digest: digest})
		return nil
	})
	key, keyErr := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err := errors.Join(err, keyErr); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "site.bundle")
	source := func(_ context.Context, b bundle.Blob, offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(blobs[b.Digest][offset:])), nil
	}
	if _, err := bundle.Create(t.Context(), file, contents, key, source, nil); err != nil {
		t.Fatal(err)
	}
	r, err := bundle.Open([]string{file}, []ssh.PublicKey{key.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// port is one on a host's loopback, in memory: the clock of a story stands still while somebody
// waits for the network.
type port struct {
	number int
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	gone   func()
}

func (p *port) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *port) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.gone()
	})
	return nil
}

func (p *port) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p.number} }

// loopback is agent.Handlers'.
func (s *server) loopback(number int) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number == 0 {
		s.lastPort++
		number = 40000 + s.lastPort
	}
	if s.ports[number] != nil {
		return nil, errors.New("address already in use")
	}
	p := &port{number: number, conns: make(chan net.Conn), closed: make(chan struct{})}
	p.gone = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.ports[number] == p {
			delete(s.ports, number)
		}
	}
	s.ports[number] = p
	return p, nil
}

// reach is a program of the host's that connects to a port of its loopback.
func (s *server) reach(ctx context.Context, _, address string) (net.Conn, error) {
	_, text, _ := strings.Cut(address, ":")
	number, err := strconv.Atoi(text)
	s.mu.Lock()
	p := s.ports[number]
	s.mu.Unlock()
	if err != nil || p == nil {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bundleWithin is how long a step waits for a bundle that does not answer, as the real one does.
const bundleWithin = 5 * time.Minute

// fetched takes something from the run's bundle, where it has one.
func (t *thing) fetched(ctx context.Context, m *step.Machine) error {
	if t.bundle == "" {
		return nil
	}
	var err error
	for began := time.Now(); time.Since(began) < bundleWithin; {
		if err = t.fetch(ctx, m); err == nil {
			return nil
		}
		if err := sleep.For(ctx, 2*time.Second); err != nil {
			return err
		}
		t.dies()
	}
	return fmt.Errorf("the bundle did not answer within %s: %w", bundleWithin, err)
}

// fetch asks for one file of the bundle. Where it answers may change while it is waited for.
func (t *thing) fetch(ctx context.Context, m *step.Machine) error {
	at, err := step.ReadCarried(m, t.bundle)
	if err != nil {
		return err
	}
	const file = "metadata/1.root.json"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at.Address+"/tuf/"+file, nil)
	if err != nil {
		return err
	}
	r.SetBasicAuth(at.User, at.Password)
	visitor := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true, DialContext: t.reach}}
	reply, err := visitor.Do(r)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err == nil && (reply.StatusCode != http.StatusOK || !bytes.Equal(text, t.repo.Read(t, file))) {
		err = fmt.Errorf("the bundle answers %s with %d bytes", reply.Status, len(text))
	}
	return err
}
