package release_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/repos/release"
)

// readStable is what an installation does: refresh, channel, manifest, Compose file.
func readStable(r *release.Repository) error {
	ctx := context.Background()
	if err := r.Refresh(ctx); err != nil {
		return err
	}
	version, err := r.Channel(ctx, "stable")
	if err != nil {
		return err
	}
	m, err := r.Manifest(ctx, version)
	if err != nil {
		return err
	}
	_, err = r.Compose(ctx, m, release.RoleApp)
	return err
}

// wantProblem asserts the kind, a part of the text, and that a fix is named.
func wantProblem(t *testing.T, err error, kind problem.Kind, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it was accepted; want a problem with %q", text)
	}
	if got := problem.KindOf(err); got != kind {
		t.Errorf("kind is %d, want %d: %v", got, kind, err)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("the problem %q does not say %q", err, text)
	}
	for _, p := range problem.All(err) {
		if p.Fix == "" {
			t.Errorf("%v says nothing to do", p)
		}
	}
}

// addRelease publishes a version and points stable to it.
func addRelease(t *testing.T, repo *publishtest.Repository, version string) {
	t.Helper()
	repo.Change(t, func(p *publish.Repository) error {
		if _, err := p.AddRelease(publishtest.Release(version)); err != nil {
			return err
		}
		return p.SetChannel("stable", version)
	})
}

// glob is the one file of the repository that matches.
func glob(t *testing.T, repo *publishtest.Repository, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(repo.Dir, pattern))
	if err != nil || len(names) != 1 {
		t.Fatalf("%s matches %v, %v", pattern, names, err)
	}
	name, err := filepath.Rel(repo.Dir, names[0])
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// endless answers requests for a file with bytes that never end.
func endless(name string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, name) {
			return false
		}
		for {
			if _, err := w.Write(bytes.Repeat([]byte{' '}, 1<<16)); err != nil {
				return true
			}
		}
	}
}

// The attacks of the TUF specification (section 1.5.2) and some more. Every one starts
// with a reader that has seen releases 6.4.1 and 6.4.2; the attacker holds the server.
func TestAttacks(t *testing.T) {
	tests := map[string]struct {
		attack func(t *testing.T, repo *publishtest.Repository)
		says   string
	}{
		"tampered target": {func(t *testing.T, repo *publishtest.Repository) {
			addRelease(t, repo, "6.5.0")
			name := glob(t, repo, "targets/releases/6.5.0/*.manifest.json")
			repo.Write(t, name, bytes.Replace(repo.Read(t, name), []byte("docker.ipivs.com"), []byte("docker.evil1.com"), 1))
		}, "manifest.json"},
		"truncated target": {func(t *testing.T, repo *publishtest.Repository) {
			addRelease(t, repo, "6.5.0")
			name := glob(t, repo, "targets/releases/6.5.0/*.manifest.json")
			repo.Write(t, name, repo.Read(t, name)[:100])
		}, "manifest.json"},
		"endless target": {func(t *testing.T, repo *publishtest.Repository) {
			addRelease(t, repo, "6.5.0")
			repo.Rewire(endless(".manifest.json"))
		}, "longer than"},
		"endless timestamp": {func(_ *testing.T, repo *publishtest.Repository) {
			repo.Rewire(endless("timestamp.json"))
		}, "timestamp.json"},
		"endless root": {func(_ *testing.T, repo *publishtest.Repository) {
			repo.Rewire(endless("2.root.json"))
		}, "2.root.json"},
		"wrong signature": {func(t *testing.T, repo *publishtest.Repository) {
			addRelease(t, repo, "6.5.0")
			data := repo.Read(t, "metadata/timestamp.json")
			repo.Write(t, "metadata/timestamp.json", bytes.Replace(data, []byte(`"version": 6`), []byte(`"version": 9`), 1))
		}, "timestamp"},
		"empty timestamp": {func(t *testing.T, repo *publishtest.Repository) {
			repo.Write(t, "metadata/timestamp.json", nil)
		}, "timestamp.json"},
		"another vendor's repository": {func(t *testing.T, repo *publishtest.Repository) {
			replaceBy(t, repo, publishtest.Published(t))
		}, "timestamp"},
		"root of another vendor": {func(t *testing.T, repo *publishtest.Repository) {
			other := publishtest.Published(t)
			other.Change(t, (*publish.Repository).Renew)
			repo.Write(t, "metadata/2.root.json", other.Read(t, "metadata/2.root.json"))
		}, "2.root.json"},
		"freeze": {func(_ *testing.T, repo *publishtest.Repository) {
			repo.Pass(15 * 24 * time.Hour)
		}, "expired"},
		"mix and match": {func(t *testing.T, repo *publishtest.Repository) {
			old := repo.Read(t, "metadata/3.snapshot.json")
			addRelease(t, repo, "6.5.0")
			repo.Write(t, "metadata/6.snapshot.json", old)
		}, "6.snapshot.json"},
		"old releases under the new name": {func(t *testing.T, repo *publishtest.Repository) {
			old := repo.Read(t, "metadata/3.releases.json")
			addRelease(t, repo, "6.5.0")
			repo.Write(t, "metadata/4.releases.json", old)
		}, "4.releases.json"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := publishtest.Published(t)
			dir := t.TempDir()
			reader := repo.Reader(t, dir)
			if err := readStable(reader); err != nil {
				t.Fatal(err)
			}
			before := reader.State()
			test.attack(t, repo)
			wantProblem(t, readStable(repo.Reader(t, dir)), problem.Trust, test.says)
			assertGoesOn(t, repo, dir, before)
		})
	}
}

// replaceBy puts another repository's files in place of this one's.
func replaceBy(t *testing.T, repo, other *publishtest.Repository) {
	t.Helper()
	if err := os.RemoveAll(repo.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(repo.Dir, os.DirFS(other.Dir)); err != nil {
		t.Fatal(err)
	}
}

// assertGoesOn says that after an attack everything already known is still read, and
// nothing older than before.
func assertGoesOn(t *testing.T, repo *publishtest.Repository, dir string, before release.State) {
	t.Helper()
	reader := repo.Reader(t, dir)
	if err := reader.LoadLast(); err != nil {
		t.Fatal(err)
	}
	if err := release.NotOlder(reader.State(), before, dir); err != nil {
		t.Error(err)
	}
	m, err := reader.Manifest(context.Background(), "6.4.2")
	if err != nil || m.Version != "6.4.2" {
		t.Errorf("the known release is not read any more: %v", err)
	}
}

// A server that replays a complete older repository is refused, as a rollback.
func TestRollback(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	older := filepath.Join(t.TempDir(), "older")
	if err := os.CopyFS(older, os.DirFS(repo.Dir)); err != nil {
		t.Fatal(err)
	}
	addRelease(t, repo, "6.5.0")
	dir := t.TempDir()
	if err := readStable(repo.Reader(t, dir)); err != nil {
		t.Fatal(err)
	}
	repo.Dir = older
	wantProblem(t, readStable(repo.Reader(t, dir)), problem.Trust, "version")

	// Also where the cache that go-tuf compares with is lost: the state remembers.
	if err := os.RemoveAll(filepath.Join(dir, "metadata")); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, readStable(repo.Reader(t, dir)), problem.Trust, "timestamp version 4 after 6")
}

// restored is the vendor's repository as it was once, brought back beside the one that went on:
// whoever holds the root's keys, by mistake or not, signs on from there.
func restored(t *testing.T, repo *publishtest.Repository, goesOn func(), rotate ...string) {
	t.Helper()
	older := filepath.Join(t.TempDir(), "older")
	if err := os.CopyFS(older, os.DirFS(repo.Dir)); err != nil {
		t.Fatal(err)
	}
	goesOn()
	repo.Dir = older
	repo.Change(t, func(p *publish.Repository) error {
		for _, key := range rotate {
			if err := p.Rotate(key, ""); err != nil {
				return err
			}
		}
		if len(rotate) == 0 {
			return p.Renew()
		}
		return nil
	})
}

// A newer root does not forgive that the repository went back: of what it says only the
// timestamp and the snapshot may start again, and those only with new keys.
func TestANewerRootForgivesNoRollback(t *testing.T) {
	signAgain := func(p *publish.Repository) error {
		for range 9 {
			if err := p.SignTimestamp(); err != nil {
				return err
			}
		}
		return nil
	}
	snapshots := func(p *publish.Repository) error {
		for range 9 { // nothing is signed again but the snapshot, and with it the timestamp
			if err := p.SignTimestamp("targets"); err != nil {
				return err
			}
		}
		return nil
	}
	tests := map[string]struct {
		goesOn func(t *testing.T, repo *publishtest.Repository)
		rotate []string
		back   string // empty: accepted
	}{
		"releases, same keys":     {func(t *testing.T, repo *publishtest.Repository) { addRelease(t, repo, "6.5.0") }, nil, "version"},
		"releases, all keys new":  {func(t *testing.T, repo *publishtest.Repository) { addRelease(t, repo, "6.5.0") }, []string{"timestamp", "snapshot"}, "releases version 3 after 4"},
		"channels, all keys new":  {func(t *testing.T, repo *publishtest.Repository) { addRelease(t, repo, "6.5.0") }, []string{"timestamp", "snapshot"}, "channels version 2 after 3"},
		"targets, all keys new":   {func(t *testing.T, repo *publishtest.Repository) { repo.Change(t, snapshots) }, []string{"timestamp", "snapshot"}, "targets version 1 after 10"},
		"timestamp, same key":     {func(t *testing.T, repo *publishtest.Repository) { repo.Change(t, signAgain) }, nil, "timestamp"},
		"timestamp, other's key":  {func(t *testing.T, repo *publishtest.Repository) { repo.Change(t, signAgain) }, []string{"snapshot"}, "timestamp"},
		"timestamp, its key":      {func(t *testing.T, repo *publishtest.Repository) { repo.Change(t, signAgain) }, []string{"timestamp"}, ""},
		"timestamp, all keys new": {func(t *testing.T, repo *publishtest.Repository) { repo.Change(t, signAgain) }, []string{"timestamp", "snapshot"}, ""},
	}
	for name, test := range tests {
		for _, kept := range []string{"metadata kept", "metadata lost", "state of a former version"} {
			t.Run(name+", "+kept, func(t *testing.T) {
				t.Parallel()
				repo := publishtest.Published(t)
				dir := t.TempDir()
				restored(t, repo, func() {
					test.goesOn(t, repo)
					refresh(t, repo.Reader(t, dir))
				}, test.rotate...)
				loseMetadata(t, dir, kept)
				before := repo.Reader(t, dir).State()
				err := repo.Reader(t, dir).Refresh(context.Background())
				if test.back == "" {
					if err != nil {
						t.Fatal(err)
					}
					refresh(t, repo.Reader(t, dir)) // and it is what is compared with from now on
					return
				}
				wantProblem(t, err, problem.Trust, test.back)
				if after := repo.Reader(t, dir).State(); after.Adds(before) {
					t.Errorf("what was seen is now %+v, and was %+v", after, before)
				}
				wantProblem(t, repo.Reader(t, dir).Refresh(context.Background()), problem.Trust, test.back) // once more, the root kept by now
			})
		}
	}
}

// loseMetadata has a reader's folder be one that was damaged, or that an earlier version of this
// program has left.
func loseMetadata(t *testing.T, dir, how string) {
	t.Helper()
	switch how {
	case "metadata lost":
		if err := os.RemoveAll(filepath.Join(dir, "metadata")); err != nil {
			t.Fatal(err)
		}
	case "state of a former version":
		name := filepath.Join(dir, "state.json")
		var st map[string]any
		data, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(data, &st)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range st["roles"].(map[string]any) {
			delete(role.(map[string]any), "keys")
			delete(role.(map[string]any), "needed")
		}
		if data, err = json.Marshal(st); err == nil {
			err = os.WriteFile(name, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// go-tuf's first trap: started from the built-in root, it overwrites the newer cached
// one, and with 2.root.json hidden a timestamp by the revoked key passes.
func TestRevokedKeyStaysRevoked(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	dir := t.TempDir()
	stolen := filepath.Join(t.TempDir(), "stolen")
	if err := os.CopyFS(stolen, os.DirFS(repo.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(stolen+"-keys", os.DirFS(repo.Keys)); err != nil {
		t.Fatal(err)
	}
	repo.Change(t, func(p *publish.Repository) error { return p.Rotate("timestamp", "") })
	if err := readStable(repo.Reader(t, dir)); err != nil {
		t.Fatal(err)
	}

	// The thief of the old timestamp key signs a far newer timestamp, without 2.root.json.
	thief, err := publish.Open(publish.Options{Dir: stolen, Keys: publish.Keyring{Dirs: []string{stolen + "-keys"}}, Now: repo.Now})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := thief.SignTimestamp("channels"); err != nil {
			t.Fatal(err)
		}
	}
	repo.Dir = stolen
	wantProblem(t, readStable(repo.Reader(t, dir)), problem.Trust, "timestamp")
	if _, err := os.Stat(filepath.Join(dir, "root", "2.root.json")); err != nil {
		t.Errorf("the newer root is gone: %v", err)
	}

	// Even with the newer root torn on disk, its name says that it existed.
	if err := os.Truncate(filepath.Join(dir, "root", "2.root.json"), 10); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, readStable(repo.Reader(t, dir)), problem.Trust, "root version 1 after 2")
}

// The root that revokes a key is kept even where the rest of that refresh fails.
func TestRevocationIsKeptWhenTheRefreshFails(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	dir := t.TempDir()
	refresh(t, repo.Reader(t, dir))
	repo.Change(t, func(p *publish.Repository) error { return p.Rotate("timestamp", "") })
	repo.Rewire(func(w http.ResponseWriter, req *http.Request) bool {
		if strings.HasSuffix(req.URL.Path, "timestamp.json") {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	wantProblem(t, repo.Reader(t, dir).Refresh(context.Background()), problem.Failed, "HTTP status 503")
	if _, err := os.Stat(filepath.Join(dir, "root", "2.root.json")); err != nil {
		t.Error(err)
	}
	// What was good before is signed by the revoked key, and still serves status.
	if err := repo.Reader(t, dir).LoadLast(); err != nil {
		t.Error(err)
	}
}

func TestUnknownRootIsRefused(t *testing.T) {
	t.Parallel()
	repo, other := publishtest.Published(t), publishtest.Published(t)
	opts := repo.Options(t.TempDir())
	opts.Root = other.Root
	reader, err := release.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, readStable(reader), problem.Trust, "timestamp")

	// The mistake is not remembered: with the right root the same folder works.
	if err := readStable(repo.Reader(t, opts.Dir)); err != nil {
		t.Error(err)
	}
	// Once followed, a folder does not change to another root.
	opts.Root = other.Root
	_, err = release.Open(opts)
	wantProblem(t, err, problem.Trust, "root is another one")
}

func TestBrokenOrMissingRoot(t *testing.T) {
	t.Parallel()
	repo := publishtest.New(t)
	opts := repo.Options(t.TempDir())
	opts.Root = nil
	_, err := release.Open(opts)
	wantProblem(t, err, problem.Input, "root of trust")
	opts.Root = []byte("{}")
	_, err = release.Open(opts)
	wantProblem(t, err, problem.Trust, "root of trust")
	opts.Root = bytes.Replace(repo.Root, []byte(`"threshold": 2`), []byte(`"threshold": 1`), 1)
	_, err = release.Open(opts)
	wantProblem(t, err, problem.Trust, "not enough signatures")
}

// A root newer than everything the repository shows proves that it hides something.
func TestGivenRootNewerThanTheRepository(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	dir := t.TempDir()
	refresh(t, repo.Reader(t, dir))
	repo.Change(t, (*publish.Repository).Renew)
	repo.Root = repo.Read(t, "metadata/2.root.json")
	if err := os.Remove(filepath.Join(repo.Dir, "metadata/2.root.json")); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, readStable(repo.Reader(t, dir)), problem.Trust, "version 2 exists")
}

// Expiry blocks new releases and nothing else.
func TestExpiryBlocksOnlyNewReleases(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	dir := t.TempDir()
	if err := readStable(repo.Reader(t, dir)); err != nil {
		t.Fatal(err)
	}
	repo.Pass(3 * 365 * 24 * time.Hour)
	err := readStable(repo.Reader(t, dir))
	if !errors.Is(err, release.ErrExpired) {
		t.Errorf("%v is not told apart as an expiry", err)
	}
	reader := repo.Reader(t, dir)
	if err := reader.LoadLast(); err != nil {
		t.Fatal(err)
	}
	if v, err := reader.Channel(context.Background(), "stable"); err != nil || v != "6.4.2" {
		t.Errorf("channel stable is %q, %v", v, err)
	}
	_, err = reader.Manifest(context.Background(), "6.4.1") // known, but never read
	wantProblem(t, err, problem.Failed, "not read before")
}

func TestUnreachableRepository(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	dir := t.TempDir()
	refresh(t, repo.Reader(t, dir))
	repo.Close()
	err := repo.Reader(t, dir).Refresh(context.Background())
	wantProblem(t, err, problem.Failed, repo.URL+"metadata/2.root.json")
	wantProblem(t, err, problem.Failed, "refused")
	if err := repo.Reader(t, dir).LoadLast(); err != nil {
		t.Errorf("without the repository the last good state is not read: %v", err)
	}
}

func TestUntrustedCertificateNamesTheSetting(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	opts := repo.Options(t.TempDir())
	var err error
	if opts.HTTP, err = release.NewClient(nil, ""); err != nil {
		t.Fatal(err)
	}
	reader, err := release.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	err = reader.Refresh(context.Background())
	wantProblem(t, err, problem.Failed, "certificate")
	if fix := problem.All(err)[0].Fix; !strings.Contains(fix, "network.trust") {
		t.Errorf("the fix is %q", fix)
	}
}

// A server that answers nothing holds a run only as long as its person wants.
func TestCancelledRefresh(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	asked := make(chan struct{})
	repo.Rewire(func(w http.ResponseWriter, req *http.Request) bool {
		close(asked)
		io.Copy(io.Discard, req.Body)
		<-req.Context().Done()
		return true
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	if err := repo.Reader(t, t.TempDir()).Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled refresh ended with %v", err)
	}
}

func TestUnknownNamesAreAnsweredWithKnownOnes(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	reader := repo.Reader(t, t.TempDir())
	refresh(t, reader)
	_, err := reader.Manifest(context.Background(), "6.4.3")
	wantProblem(t, err, problem.Input, "6.4.3")
	if fix := problem.All(err)[0].Fix; !strings.Contains(fix, "6.4.1, 6.4.2") {
		t.Errorf("the fix is %q", fix)
	}
	_, err = reader.Channel(context.Background(), "beta")
	wantProblem(t, err, problem.Input, "beta")
	if fix := problem.All(err)[0].Fix; !strings.Contains(fix, "stable") {
		t.Errorf("the fix is %q", fix)
	}
	_, err = reader.Target(context.Background(), "agent/1.0.0/valtctl-linux-amd64")
	wantProblem(t, err, problem.Trust, "no role")
}
