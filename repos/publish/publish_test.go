package publish_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/repos/release"
)

const day = 24 * time.Hour

// newest is what a site sees that has followed the repository in dir.
func newest(t *testing.T, repo *publishtest.Repository, dir string) string {
	t.Helper()
	reader := repo.Reader(t, dir)
	if err := reader.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	version, err := reader.Channel(context.Background(), "stable")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Manifest(context.Background(), version); err != nil {
		t.Fatal(err)
	}
	return version
}

// open opens the repository with the keys of these folders.
func open(t *testing.T, repo *publishtest.Repository, keys ...string) *publish.Repository {
	t.Helper()
	p, err := publish.Open(publish.Options{Dir: repo.Dir, Keys: publish.Keyring{Dirs: keys}, Now: repo.Now})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantProblem(t *testing.T, err error, kind problem.Kind, text string) {
	t.Helper()
	if err == nil || problem.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v; want kind %d and %q", err, kind, text)
	}
}

// move moves keys into a folder of their own, as media that are kept apart.
func move(t *testing.T, repo *publishtest.Repository, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.Rename(filepath.Join(repo.Keys, name+".key"), filepath.Join(dir, name+".key")); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPrivateKeysAreForTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	repo := publishtest.New(t)
	names, err := filepath.Glob(filepath.Join(repo.Keys, "*"))
	if err != nil || len(names) != 8 {
		t.Fatalf("keys are %v, %v", names, err)
	}
	for _, name := range names {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	wantProblem(t, publish.Keyring{Dirs: []string{repo.Keys}}.New("targets"), problem.Input, "exists")
}

// Each key can be replaced. Sites that followed the repository before go on, sites that
// come new start from the first root, and the next change is signed by the new key alone.
func TestRotation(t *testing.T) {
	t.Parallel()
	for _, name := range append(publish.SigningRoles(), "root-1", "root-2", "root-3") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := publishtest.Published(t)
			dir := t.TempDir()
			newest(t, repo, dir)
			before := open(t, repo, repo.Keys).Show()
			repo.Change(t, func(p *publish.Repository) error { return p.Rotate(name, "") })
			newest(t, repo, dir)
			newest(t, repo, t.TempDir())
			repo.Change(t, func(p *publish.Repository) error {
				_, err := p.AddRelease(publishtest.Release("6.5.0"))
				return err
			})
			repo.Change(t, func(p *publish.Repository) error { return p.SetChannel("stable", "6.5.0") })
			if got := newest(t, repo, dir); got != "6.5.0" {
				t.Errorf("stable is %s", got)
			}
			role, _, _ := strings.Cut(name, "-")
			assertRekeyed(t, role, before, open(t, repo, repo.Keys).Show())
		})
	}
}

func assertRekeyed(t *testing.T, role string, before, after []publish.RoleSummary) {
	t.Helper()
	for i, s := range after {
		same := strings.Join(s.Keys, " ") == strings.Join(before[i].Keys, " ")
		if s.Role == role && same {
			t.Errorf("the keys of %s are still %v", role, s.Keys)
		}
		if s.Role != role && !same {
			t.Errorf("the keys of %s changed too", s.Role)
		}
		if len(s.Keys) != len(before[i].Keys) || s.Needed != before[i].Needed {
			t.Errorf("%s now needs %d of %d keys", s.Role, s.Needed, len(s.Keys))
		}
	}
}

// A reader asks for the next root first: one that was told "none" just before the
// rotation finished must still accept everything that it reads afterwards.
func TestReaderInTheMiddleOfARotation(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"timestamp", "snapshot", "targets"} {
		repo := publishtest.Published(t)
		dir := t.TempDir()
		newest(t, repo, dir)
		repo.Change(t, func(p *publish.Repository) error { return p.Rotate(name, "") })
		repo.Rewire(func(w http.ResponseWriter, req *http.Request) bool {
			if strings.HasSuffix(req.URL.Path, "2.root.json") {
				http.NotFound(w, req)
				return true
			}
			return false
		})
		if err := repo.Reader(t, dir).Refresh(context.Background()); err != nil {
			t.Errorf("in the middle of rotating %s: %v", name, err)
		}
	}
}

func TestRootNeedsItsThreshold(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	apart := move(t, repo, "root-2", "root-3")
	err := open(t, repo, repo.Keys).Renew()
	if err == nil || !strings.Contains(err.Error(), "got 1, want 2") {
		t.Errorf("a root signed by one of two needed keys: %v", err)
	}
	if _, err := os.Stat(filepath.Join(repo.Dir, "metadata/2.root.json")); err == nil {
		t.Error("the insufficient root was written")
	}
	if err := open(t, repo, repo.Keys, apart).Renew(); err != nil {
		t.Errorf("with the other keys' folder: %v", err)
	}
	newest(t, repo, t.TempDir())
}

func TestLostRootKeyIsReplaced(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	lost, err := publish.Keyring{Dirs: []string{repo.Keys}}.ID("root-3")
	if err != nil {
		t.Fatal(err)
	}
	move(t, repo, "root-3")
	wantProblem(t, open(t, repo, repo.Keys).Rotate("root-3", ""), problem.Input, "root-3.key")
	wantProblem(t, open(t, repo, repo.Keys).Rotate("root-3", "nosuchid"), problem.Input, "0 root keys")
	if err := open(t, repo, repo.Keys).Rotate("root-3", lost[:8]); err != nil {
		t.Fatal(err)
	}
	now := open(t, repo, repo.Keys).Show()[0].Keys
	if len(now) != 3 || slices.Contains(now, lost) {
		t.Errorf("the root's keys are %v; lost was %s", now, lost)
	}
	newest(t, repo, t.TempDir())
}

func TestUnknownKeyName(t *testing.T) {
	t.Parallel()
	repo := publishtest.New(t)
	wantProblem(t, open(t, repo, repo.Keys).Rotate("mirror", ""), problem.Input, "no such key")
}

// A publisher killed before the timestamp leaves the repository as it was, for readers
// and for the next publisher.
func TestInterruptedPublishing(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	stamp := repo.Read(t, "metadata/timestamp.json")
	add := func(p *publish.Repository) error {
		if _, err := p.AddRelease(publishtest.Release("6.5.0")); err != nil {
			return err
		}
		return p.SetChannel("stable", "6.5.0")
	}
	repo.Change(t, add)
	repo.Write(t, "metadata/timestamp.json", stamp)
	dir := t.TempDir()
	if got := newest(t, repo, dir); got != "6.4.2" {
		t.Errorf("stable is %s before the timestamp", got)
	}
	repo.Change(t, add)
	if got := newest(t, repo, dir); got != "6.5.0" {
		t.Errorf("stable is %s", got)
	}
}

func TestAReleaseNeverChanges(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	stamp := repo.Read(t, "metadata/timestamp.json")
	if _, err := open(t, repo, repo.Keys).AddRelease(publishtest.Release("6.4.2")); err != nil {
		t.Errorf("publishing the same again: %v", err)
	}
	changed := publishtest.Release("6.4.2")
	changed.Files["compose.app.yaml"] = []byte("services: {}\n")
	_, err := open(t, repo, repo.Keys).AddRelease(changed)
	wantProblem(t, err, problem.Input, "compose.app.yaml")
	if !bytes.Equal(stamp, repo.Read(t, "metadata/timestamp.json")) {
		t.Error("a new timestamp was signed")
	}
}

func TestIncompleteReleaseIsNotPublished(t *testing.T) {
	t.Parallel()
	repo := publishtest.New(t)
	rel := publishtest.Release("6.4.2")
	delete(rel.Files, "compose.media.yaml")
	_, err := open(t, repo, repo.Keys).AddRelease(rel)
	wantProblem(t, err, problem.Input, "media")
	rel.Manifest = bytes.Replace(rel.Manifest, []byte(`"24.04"`), []byte(`"noble"`), 1)
	_, err = open(t, repo, repo.Keys).AddRelease(rel)
	wantProblem(t, err, problem.Input, "ubuntu[1]")
}

func TestReadReleaseFromAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rel := publishtest.Release("6.4.2")
	if err := publishtest.WriteRelease(dir, rel); err != nil {
		t.Fatal(err)
	}
	got, err := publish.ReadRelease(dir)
	if err != nil || len(got.Files) != 2 || !bytes.Equal(got.Manifest, rel.Manifest) {
		t.Errorf("got %d files, %v", len(got.Files), err)
	}
	if err := os.Remove(filepath.Join(dir, "compose.app.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := publish.ReadRelease(dir); err == nil || !strings.Contains(err.Error(), "compose.app.yaml") {
		t.Errorf("with a Compose file missing: %v", err)
	}
}

func TestChannelsPointToPublishedReleases(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	p := open(t, repo, repo.Keys)
	wantProblem(t, p.SetChannel("stable", "7.0.0"), problem.Input, "not published")
	wantProblem(t, p.SetChannel("../stable", "6.4.1"), problem.Input, "channel")
}

func TestAChannelSaysForWhichShareOfTheSites(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	share := func() int {
		t.Helper()
		reader := repo.Reader(t, t.TempDir())
		if err := reader.Refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
		pointer, err := reader.Pointer(context.Background(), "stable")
		if err != nil {
			t.Fatal(err)
		}
		return pointer.Share()
	}
	if got := share(); got != 100 {
		t.Errorf("a channel without a share is for %d%% of the sites", got)
	}
	version := newest(t, repo, t.TempDir())
	for _, percent := range []int{0, 10, 100} {
		repo.Change(t, func(p *publish.Repository) error { return p.SetChannelFor("stable", version, percent) })
		if got := share(); got != percent {
			t.Errorf("set to %d%%, read as %d%%", percent, got)
		}
	}
	wantProblem(t, open(t, repo, repo.Keys).SetChannelFor("stable", version, 101), problem.Input, "101")
}

func TestAgentOfAVersion(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	repo.Change(t, func(p *publish.Repository) error { return p.AddAgent("1.0.0", []byte("\x7fELF")) })
	reader := repo.Reader(t, t.TempDir())
	if err := reader.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	got, err := reader.Target(context.Background(), release.AgentPath("1.0.0"))
	if err != nil || string(got) != "\x7fELF" {
		t.Errorf("the agent is %q, %v", got, err)
	}
}

// The machine that signs the timestamp daily holds two keys, and with them keeps the
// repository fresh for as long as the offline signatures hold.
func TestOnlineKeysKeepTheRepositoryFresh(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	online := move(t, repo, "snapshot", "timestamp")
	dir := t.TempDir()
	for range 30 {
		repo.Pass(12 * day)
		if err := open(t, repo, online).SignTimestamp(); err != nil {
			t.Fatal(err)
		}
	}
	newest(t, repo, dir)
	repo.Pass(12 * day)
	if err := open(t, repo, online).SignTimestamp(); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, repo.Reader(t, dir).Refresh(context.Background()), problem.Trust, "expired")
	wantProblem(t, open(t, repo, online).SignTimestamp("releases"), problem.Input, "releases.key")
	wantProblem(t, open(t, repo, online).SignTimestamp("mirrors"), problem.Input, "mirrors")
	if err := open(t, repo, online, repo.Keys).SignTimestamp("targets", "releases", "channels"); err != nil {
		t.Fatal(err)
	}
	newest(t, repo, dir)
}

// Whoever holds the web server must not get the vendor to sign what was slipped in.
func TestTamperedRepositoryIsNotSignedAgain(t *testing.T) {
	t.Parallel()
	tamper := map[string]func(*testing.T, *publishtest.Repository){
		"a role": func(t *testing.T, repo *publishtest.Repository) {
			name := "metadata/3.releases.json"
			repo.Write(t, name, bytes.Replace(repo.Read(t, name), []byte("6.4.1/manifest.json"), []byte("6.9.9/manifest.json"), 1))
		},
		"the timestamp": func(t *testing.T, repo *publishtest.Repository) {
			name := "metadata/timestamp.json"
			repo.Write(t, name, bytes.Replace(repo.Read(t, name), []byte(`"version": 4`), []byte(`"version": 44`), -1))
		},
		"an older version under the current name": func(t *testing.T, repo *publishtest.Repository) {
			repo.Write(t, "metadata/3.releases.json", repo.Read(t, "metadata/2.releases.json"))
		},
		"everything, root included": func(t *testing.T, repo *publishtest.Repository) {
			other := publishtest.Published(t)
			if err := os.RemoveAll(repo.Dir); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(repo.Dir, os.DirFS(other.Dir)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, change := range tamper {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := publishtest.Published(t)
			change(t, repo)
			_, err := publish.Open(publish.Options{Dir: repo.Dir, Keys: publish.Keyring{Dirs: []string{repo.Keys}}, Now: repo.Now})
			wantProblem(t, err, problem.Trust, "before signing")
		})
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	repo := publishtest.New(t)
	opts := publish.Options{Dir: repo.Dir, Keys: publish.Keyring{Dirs: []string{repo.Keys}}, Now: repo.Now}
	_, err := publish.Create(opts, 2)
	wantProblem(t, err, problem.Input, "already")
	opts.Dir = t.TempDir()
	_, err = publish.Open(opts)
	wantProblem(t, err, problem.Input, "no root")
	_, err = publish.Create(opts, 4)
	wantProblem(t, err, problem.Input, "4 of 3")
	opts.Keys.Dirs = []string{t.TempDir()}
	_, err = publish.Create(opts, 0)
	wantProblem(t, err, problem.Input, "root keys")
}
