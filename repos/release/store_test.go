package release_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
)

// kept lists the files below a reader's folder.
func kept(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Every kept file may be torn, emptied or filled with rubbish: the next refresh works,
// and mends it. (go-tuf alone fails every refresh over an empty timestamp.json.)
func TestTornFilesAreDroppedReportedAndMended(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	damage := map[string]func(string, []byte) error{
		"empty":   func(name string, _ []byte) error { return os.WriteFile(name, nil, 0o644) },
		"half":    func(name string, data []byte) error { return os.WriteFile(name, data[:len(data)/2], 0o644) },
		"rubbish": func(name string, _ []byte) error { return os.WriteFile(name, []byte("\x00[]"), 0o644) },
	}
	for what, tear := range damage {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := readStable(repo.Reader(t, dir)); err != nil {
				t.Fatal(err)
			}
			for _, name := range kept(t, dir) {
				data, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := tear(name, data); err != nil {
					t.Fatal(err)
				}
				reader := repo.Reader(t, dir)
				if err := readStable(reader); err != nil {
					t.Fatalf("with %s torn: %v", name, err)
				}
				assertDropped(t, reader.Dropped(), name)
				assertMended(t, repo, dir, name, data)
			}
		})
	}
}

// assertDropped wants a torn file named. A target needs no report: its hash decides.
func assertDropped(t *testing.T, dropped []string, name string) {
	t.Helper()
	if strings.Contains(name, "/targets/") {
		return
	}
	if !slices.ContainsFunc(dropped, func(line string) bool { return strings.HasPrefix(line, name+": ") }) {
		t.Errorf("%s was dropped without a word: %v", name, dropped)
	}
}

func assertMended(t *testing.T, repo *publishtest.Repository, dir, name string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(name); err != nil || string(got) != string(want) {
		t.Errorf("%s was not mended: %q, %v", name, got, err)
	}
	if err := repo.Reader(t, dir).LoadLast(); err != nil {
		t.Errorf("after mending %s the last good state is not read: %v", name, err)
	}
}

// A reader killed between two of its writes has, with every prefix of them, either the
// old release or the new one without the network, and refreshes as if nothing happened.
func TestKilledBetweenWrites(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	older := t.TempDir()
	if err := readStable(repo.Reader(t, older)); err != nil {
		t.Fatal(err)
	}
	addRelease(t, repo, "6.5.0")
	repo.Change(t, func(p *publish.Repository) error { return p.Rotate("snapshot", "") })
	newer := filepath.Join(t.TempDir(), "newer")
	if err := os.CopyFS(newer, os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	refresh(t, repo.Reader(t, newer))

	// The order of doc.go: roots, roles, snapshot, timestamp, state.
	writes := []string{
		"root/2.root.json", "metadata/3.channels.json", "metadata/4.releases.json", "metadata/1.targets.json",
		"metadata/7.snapshot.json", "metadata/timestamp.json", "state.json",
	}
	for n := range len(writes) + 1 {
		dir := filepath.Join(t.TempDir(), "killed")
		if err := os.CopyFS(dir, os.DirFS(older)); err != nil {
			t.Fatal(err)
		}
		for _, name := range writes[:n] {
			data, err := os.ReadFile(filepath.Join(newer, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		reader := repo.Reader(t, dir)
		if err := reader.LoadLast(); err != nil {
			t.Errorf("after %d writes the last good state is not read: %v", n, err)
		} else if _, err := reader.Manifest(context.Background(), "6.4.2"); err != nil {
			t.Errorf("after %d writes: %v", n, err)
		}
		if err := readStable(repo.Reader(t, dir)); err != nil {
			t.Errorf("after %d writes the refresh fails: %v", n, err)
		}
	}
}

func one(t *testing.T, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) != 1 {
		t.Fatalf("%s matches %v, %v", pattern, names, err)
	}
	return names[0]
}

// A run that finds nothing new writes nothing.
func TestUnchangedRefreshWritesNothing(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	dir := t.TempDir()
	if err := readStable(repo.Reader(t, dir)); err != nil {
		t.Fatal(err)
	}
	times := map[string]os.FileInfo{}
	for _, name := range kept(t, dir) {
		times[name], _ = os.Stat(name)
	}
	if err := readStable(repo.Reader(t, dir)); err != nil {
		t.Fatal(err)
	}
	for _, name := range kept(t, dir) {
		now, err := os.Stat(name)
		if err != nil || times[name] == nil || !os.SameFile(now, times[name]) {
			t.Errorf("%s was written again (%v)", name, err)
		}
	}
}

func TestLoadLastBeforeAnyRefresh(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	wantProblem(t, repo.Reader(t, t.TempDir()).LoadLast(), 0, "no good refresh yet")
}

func TestOldMetadataIsRemoved(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	dir := t.TempDir()
	refresh(t, repo.Reader(t, dir))
	addRelease(t, repo, "6.5.0")
	if err := repo.Reader(t, dir).Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"snapshot", "targets", "releases", "channels"} {
		one(t, filepath.Join(dir, "metadata", "*."+role+".json"))
	}
}
