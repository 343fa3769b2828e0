package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/release"
)

const mistakenDir = "../../testdata/mistaken"

// mistaken is a release that somebody signs by mistake: New where Old stood in one of the files of
// the release beside the table. At is found on the line that must be named.
type mistaken struct {
	Name, File, Old, New, At, Says string
}

// readMistaken reads the table.
func readMistaken(t *testing.T) []mistaken {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(mistakenDir, "table.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var all []mistaken
	if err := yaml.UnmarshalWithOptions(text, &all, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return all
}

// rightRelease are the files of a release that asks for all that a real one may need.
func rightRelease(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{"manifest.json", "compose.app.yaml", "compose.media.yaml"} {
		text, err := os.ReadFile(filepath.Join(mistakenDir, "release", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = text
	}
	return files
}

// make makes the mistake, and returns file and line that must be named.
func (m mistaken) make(t *testing.T, files map[string][]byte) string {
	t.Helper()
	if n := bytes.Count(files[m.File], []byte(m.Old)); n == 0 {
		t.Fatalf("%s has no %q", m.File, m.Old)
	}
	files[m.File] = bytes.Replace(files[m.File], []byte(m.Old), []byte(m.New), 1)
	before, _, found := bytes.Cut(files[m.File], []byte(m.At))
	if !found {
		t.Fatalf("%s has no %q then", m.File, m.At)
	}
	return fmt.Sprintf("%s:%d: ", m.File, 1+bytes.Count(before, []byte("\n")))
}

// A release that asks for what no release may have is refused before it is signed, and by every
// site where somebody has signed it: each with file, line, reason and what to write instead.
func TestMistakenReleasesAreRefusedAtPublishingAndOnTheHost(t *testing.T) {
	table := readMistaken(t)
	if len(table) < 100 {
		t.Fatalf("the table has %d mistakes", len(table))
	}
	repo := newRepository(t)
	before := repo.files(t)
	for _, m := range table {
		t.Run(m.Name, func(t *testing.T) {
			files := rightRelease(t)
			at := m.make(t, files)
			code, said := repo.add(t, files)
			if code != problem.Input.ExitCode() {
				t.Errorf("publishing ends with exit code %d", code)
			}
			wantSaid(t, "publishing", said, at, m.Says)
			if !strings.Contains(said, "  fix: ") {
				t.Errorf("publishing does not say what to write instead: %s", said)
			}
			err := planOnHost(t, files)
			if problem.KindOf(err) != problem.Input {
				t.Errorf("on the host the kind is %v", problem.KindOf(err))
			}
			wantSaid(t, "the host", fmt.Sprint(err), at, m.Says)
		})
	}
	if after := repo.files(t); !maps.EqualFunc(before, after, bytes.Equal) {
		t.Error("something was published")
	}
}

// wantSaid wants one line that names the place and the reason.
func wantSaid(t *testing.T, who, said, at, reason string) {
	t.Helper()
	for line := range strings.Lines(said) {
		if strings.Contains(line, at) && strings.Contains(line, reason) {
			return
		}
	}
	t.Errorf("%s does not say %q at %q:\n%s", who, reason, at, said)
}

// What a release needs is not refused by what keeps mistakes away.
func TestAReleaseWithAllThatARealOneNeedsIsPublishedAndPlanned(t *testing.T) {
	files := rightRelease(t)
	repo := newRepository(t)
	if code, said := repo.add(t, files); code != 0 {
		t.Fatalf("publishing ends with exit code %d: %s", code, said)
	}
	if err := planOnHost(t, files); err != nil {
		t.Error(err)
	}
}

// repository is a vendor's, with the real command.
type repository struct{ dir string }

func newRepository(t *testing.T) repository {
	t.Helper()
	r := repository{t.TempDir()}
	for _, args := range [][]string{{"key", "new"}, {"root", "init"}} {
		if code, said := r.run(args...); code != 0 {
			t.Fatalf("%v: %s", args, said)
		}
	}
	return r
}

func (r repository) run(args ...string) (code int, said string) {
	var out bytes.Buffer
	a := &app{out: &out, err: &out, now: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }}
	code = a.main(append([]string{"--repository", filepath.Join(r.dir, "valt"), "--keys", filepath.Join(r.dir, "keys")}, args...))
	return code, out.String()
}

func (r repository) add(t *testing.T, files map[string][]byte) (code int, said string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return r.run("release", "add", dir)
}

func (r repository) files(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(filepath.Join(r.dir, "valt"), func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all[name], err = os.ReadFile(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const mistakenSite = `
site: st-marys
name: valt.example
ssl: true
tls: { certificate: c.pem, key_file: c.key }
clients: [10.0.0.0/16]
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], recordings: /srv/valt, wowza: { key_file: k } }
`

// planOnHost is what a site, and each host of it for itself, makes of a release that is signed.
func planOnHost(t *testing.T, files map[string][]byte) error {
	t.Helper()
	m, err := release.ParseManifest(files["manifest.json"])
	if err != nil {
		return err
	}
	s, err := site.Parse("site.yaml", []byte(mistakenSite), "/home/x")
	if err != nil {
		t.Fatal(err)
	}
	in := plan.Input{Site: s, Manifest: m, Compose: map[site.Role][]byte{}, Hosts: map[string]plan.HostFacts{}}
	for name, r := range m.Roles {
		in.Compose[site.Role(name)] = files[path.Base(r.Compose)]
	}
	for _, h := range s.Hosts {
		in.Hosts[h.Name] = plan.HostFacts{Codename: "noble", Arch: "amd64"}
	}
	built, err := plan.Build(t.Context(), in)
	if err == nil && slices.ContainsFunc(built.Hosts, func(h plan.HostPlan) bool { return len(h.Steps) == 0 }) {
		t.Error("a host has nothing to do")
	}
	return err
}

// publish's own door to a repository is shut as well for a manifest; what it lets in of Compose
// files, every site refuses.
func TestAMistakenManifestIsRefusedByTheRepositoryItself(t *testing.T) {
	repo := newRepository(t)
	opened, err := publish.Open(publish.Options{Dir: filepath.Join(repo.dir, "valt"), Keys: publish.Keyring{Dirs: []string{filepath.Join(repo.dir, "keys")}},
		Now: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range readMistaken(t) {
		files := rightRelease(t)
		m.make(t, files)
		if _, err := opened.AddRelease(publish.Release{Manifest: files["manifest.json"], Files: files}); err == nil && m.File == "manifest.json" {
			t.Fatalf("%s: taken", m.Name)
		} else if m.File == "manifest.json" && problem.KindOf(err) != problem.Input {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}
