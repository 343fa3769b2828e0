package apt_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testneeds"
)

// shelf is a signed repository with lists and no packages: nothing else is fetched.
type shelf struct {
	signer *openpgp.Entity
	files  map[string][]byte
	plain  []byte // the list, unpacked
	head   string // further lines of the Release, such as Valid-Until
	folder string // of the suite
	list   string // below it, without .gz
	asked  []string
	now    func() time.Time
}

// offer lists packages: "name version", then fields such as "Depends: x".
func offer(t *testing.T, packages ...string) *shelf {
	t.Helper()
	return offerAt(t, "dists/noble", "main/binary-amd64/Packages", time.Now, packages...)
}

// offerAt is offer for a suite elsewhere, signed at a time.
func offerAt(t *testing.T, folder, list string, now func() time.Time, packages ...string) *shelf {
	t.Helper()
	s := &shelf{signer: signerAt(t, now), files: map[string][]byte{}, folder: folder, list: list, now: now}
	for _, p := range packages {
		s.plain = append(s.plain, stanza(p)...)
	}
	s.files[s.packed()] = gzipped(t, s.plain)
	s.sign(t)
	return s
}

// stanza is a package in a list.
func stanza(p string) string {
	head, fields, _ := strings.Cut(p, "\n")
	name, version, _ := strings.Cut(head, " ")
	text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: Practice <p@practice.invalid>\nSize: 1000\nSHA256: %x\nDescription: for practice\n",
		name, version, sha256.Sum256([]byte(p)))
	if !strings.Contains(fields, "Filename: ") {
		text += fmt.Sprintf("Filename: pool/%s_%s_amd64.deb\n", name, version)
	}
	return text + fields + newline(fields) + "\n"
}

func gzipped(t *testing.T, plain []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// packed is the path of the list.
func (s *shelf) packed() string { return path.Join("/", s.folder, s.list+".gz") }

func (s *shelf) sign(t *testing.T) {
	t.Helper()
	s.signFor(t, s.files[s.packed()], len(s.plain))
}

// signFor signs for another list than the one that is there, or another size of it unpacked.
func (s *shelf) signFor(t *testing.T, list []byte, plain int) {
	t.Helper()
	text := fmt.Sprintf("Origin: Practice\nSuite: noble\nCodename: noble\nDate: %s\n%sArchitectures: amd64\nComponents: main\nSHA256:\n %x %d %s.gz\n %x %d %s\n",
		s.now().UTC().Format(time.RFC1123), s.head, sha256.Sum256(list), len(list), s.list, sha256.Sum256(s.plain), plain, s.list)
	s.files[path.Join("/", s.folder, "InRelease")] = signAt(t, s.signer, text, s.now)
}

// index reads the shelf as of a time.
func (s *shelf) index(t *testing.T, name string, at time.Time) (*apt.Index, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked = append(s.asked, r.URL.Path)
		if content, ok := s.files[r.URL.Path]; ok {
			_, _ = w.Write(content)
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close() // solving must do without it
	repo := apt.Repo{Name: name, URI: server.URL, Suites: []string{"./"}, Architectures: []string{"amd64"}, Keys: public(t, s.signer, true)}
	if suite, ok := strings.CutPrefix(s.folder, "dists/"); ok {
		repo.Suites, repo.Components = []string{suite}, []string{"main"}
	}
	return apt.FetchIndex(t.Context(), server.Client(), repo, at)
}

func (s *shelf) indexed(t *testing.T, name string) *apt.Index {
	t.Helper()
	x, err := s.index(t, name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestAptItselfSaysWhatAnInstallationTakes(t *testing.T) {
	testneeds.Of(t, testneeds.Program("apt-get", "apt"))
	ubuntu := offer(t, "libc6 2.39", "adduser 3.137\nDepends: libc6", "nftables 1.0.9\nDepends: libc6 (>= 2.39)").indexed(t, "ubuntu")
	valt := offer(t, "valt-host 6.4.1-1\nDepends: nftables, adduser", "valt-host 6.4.2-1\nDepends: nftables, adduser\nRecommends: toys").indexed(t, "valt")
	for name, c := range map[string]struct {
		status []byte
		wants  []string
		takes  []string
	}{
		"a bare machine":        {nil, []string{"valt-host=6.4.1-1"}, []string{"ubuntu/adduser=3.137", "ubuntu/libc6=2.39", "ubuntu/nftables=1.0.9", "valt/valt-host=6.4.1-1"}},
		"some is there":         {installed("libc6 2.39", "adduser 3.137"), []string{"valt-host"}, []string{"ubuntu/nftables=1.0.9", "valt/valt-host=6.4.2-1"}},
		"an older one is there": {installed("libc6 2.39", "adduser 3.137", "nftables 1.0.9", "valt-host 6.4.1-1"), []string{"valt-host=6.4.2-1"}, []string{"valt/valt-host=6.4.2-1"}},
		"all is there":          {installed("libc6 2.39", "adduser 3.137", "nftables 1.0.9", "valt-host 6.4.2-1\nDepends: nftables, adduser\nRecommends: toys"), []string{"valt-host=6.4.2-1"}, nil},
	} {
		solved, err := apt.Solve(t.Context(), apt.Ask, []*apt.Index{ubuntu, valt}, c.status, c.wants)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		takes := named(solved)
		if !slices.Equal(takes, c.takes) {
			t.Errorf("%s: it takes %v, want %v", name, takes, c.takes)
		}
	}
}

// installed is a dpkg status with packages as offer takes them.
func installed(packages ...string) []byte {
	var out strings.Builder
	for _, p := range packages {
		head, fields, _ := strings.Cut(p, "\n")
		name, version, _ := strings.Cut(head, " ")
		fmt.Fprintf(&out, "Package: %s\nStatus: install ok installed\nMaintainer: Practice <p@practice.invalid>\nArchitecture: amd64\nVersion: %s\nDescription: for practice\n%s\n", name, version, fields+newline(fields))
	}
	return []byte(out.String())
}

// named lists packages as "source/name=version", in order.
func named(solved []apt.Solved) []string {
	var all []string
	for _, p := range solved {
		all = append(all, p.Repo+"/"+p.Name+"="+p.Version)
	}
	slices.Sort(all)
	return all
}

func TestWhatCannotBeInstalledIsSaidInAptsWords(t *testing.T) {
	testneeds.Of(t, testneeds.Program("apt-get", "apt"))
	valt := offer(t, "valt-host 6.4.1-1\nDepends: nftables", "other 1\nBreaks: valt-kit", "valt-kit 1").indexed(t, "valt")
	again := *valt
	for name, c := range map[string]struct {
		indexes []*apt.Index
		status  []byte
		want    string
		says    []string
	}{
		"a dependency that nobody has": {[]*apt.Index{valt}, nil, "valt-host", []string{"valt-host : Depends: nftables", "E: "}},
		"a version that nobody has":    {[]*apt.Index{valt}, nil, "valt-host=9", []string{"E: ", "valt-host", "9"}},
		"a name that nobody has":       {[]*apt.Index{valt}, nil, "absent", []string{"E: Unable to locate package absent"}},
		"an older one than is there":   {[]*apt.Index{valt}, installed("valt-kit 2"), "valt-kit=1", []string{"E: ", "downgrade"}},
		"an option":                    {[]*apt.Index{valt}, nil, "-oDir=/", []string{"is no package"}},
		"two words":                    {[]*apt.Index{valt}, nil, "a b", []string{"is no package"}},
		"two sources of a name":        {[]*apt.Index{valt, &again}, nil, "valt-kit", []string{"a name of its own"}},
		"a source with a path":         {[]*apt.Index{{Repo: apt.Repo{Name: "../x"}}}, nil, "valt-kit", []string{"a name of its own"}},
	} {
		solved, err := apt.Solve(t.Context(), apt.Ask, c.indexes, c.status, []string{c.want})
		if err == nil {
			t.Errorf("%s: it takes %v", name, named(solved))
			continue
		}
		for _, words := range c.says {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %q is missing in: %v", name, words, err)
			}
		}
	}
}

func TestPackagesOfAwkwardNamesAreFound(t *testing.T) {
	testneeds.Of(t, testneeds.Program("apt-get", "apt"))
	x := offer(t, "g++-13 1:13.2.0-23ubuntu4~24.04\nFilename: pool/g++-13_13.2.0-23ubuntu4~24.04_amd64.deb",
		"docker 5:28.0\nFilename: pool/docker_5%3a28.0_amd64.deb\nDepends: g++-13", "space 1\nFilename: pool/a b/space:1.deb\nDepends: docker").indexed(t, "valt")
	flat := offerAt(t, ".", "Packages", time.Now, "flat 1\nFilename: ./flat_1.deb\nDepends: space").indexed(t, "flat")
	solved, err := apt.Solve(t.Context(), apt.Ask, []*apt.Index{x, flat}, nil, []string{"flat"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"flat/flat=1", "valt/docker=5:28.0", "valt/g++-13=1:13.2.0-23ubuntu4~24.04", "valt/space=1"}
	if got := named(solved); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, p := range solved {
		if p.Hash.Size != 1000 || len(p.Hash.SHA256) != 64 || p.Filename == "" {
			t.Errorf("of %s is known: %+v", p.Name, p.Package)
		}
	}
}

// The machine's own configuration may hold hooks that delete files, and pins and proxies.
func TestAptOfThisMachineIsLeftAlone(t *testing.T) {
	testneeds.Of(t, testneeds.Program("apt-get", "apt"))
	real, err := exec.LookPath("apt-get")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := "#!/bin/sh\nenv > " + dir + "/env\napt-config dump > " + dir + "/dump\nexec " + real + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("http_proxy", "http://127.0.0.1:9/")
	x := offer(t, "valt-host 1").indexed(t, "valt")
	if _, err := apt.Solve(t.Context(), apt.Ask, []*apt.Index{x}, nil, []string{"valt-host"}); err != nil {
		t.Fatal(err)
	}
	dump, err := os.ReadFile(filepath.Join(dir, "dump"))
	if err != nil {
		t.Fatal(err)
	}
	everywhere, err := exec.Command("apt-config", "dump").Output()
	if err != nil {
		t.Fatal(err)
	}
	const shipped = "APT::NeverAutoRemove::" // of 01autoremove, which apt's own package brings
	if strings.Contains(string(dump), shipped) || strings.Contains(string(dump), "-Invoke::") {
		t.Errorf("apt read this machine's configuration:\n%s", dump)
	}
	if !strings.Contains(string(everywhere), shipped) {
		t.Error("this test proves nothing: the machine's apt has no configuration")
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil || strings.Contains(string(env), "http_proxy") {
		t.Errorf("apt-get runs with %s (%v)", env, err)
	}
}

func TestMachineWithoutAptIsToldWhatToDo(t *testing.T) {
	x := offer(t, "valt-host 1").indexed(t, "valt")
	t.Setenv("PATH", t.TempDir())
	_, err := apt.Solve(t.Context(), apt.Ask, []*apt.Index{x}, nil, []string{"valt-host"})
	var p *problem.Error
	if !errors.As(err, &p) || p.Kind != problem.Failed || !strings.Contains(p.Fix, "--on HOST") {
		t.Errorf("got %v", err)
	}
}

// A bundle is judged as of the day it was made; apt must not judge by the clock again.
func TestListsThatHaveExpiredSinceAreStillSolved(t *testing.T) {
	made := func() time.Time { return time.Now().AddDate(0, 0, -200) }
	s := offerAt(t, "dists/noble", "main/binary-amd64/Packages", made, "valt-host 1")
	s.head = "Valid-Until: " + made().AddDate(0, 0, 7).UTC().Format(time.RFC1123) + "\n"
	s.sign(t)
	if _, err := s.index(t, "valt", time.Now()); problem.KindOf(err) != problem.Trust {
		t.Errorf("as of today: %v", err)
	}
	x, err := s.index(t, "valt", made().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	solved, err := apt.Solve(t.Context(), apt.Ask, []*apt.Index{x}, nil, []string{"valt-host"})
	if err != nil || len(solved) != 1 {
		t.Errorf("got %v, %v", named(solved), err)
	}
}

func TestListsOfPackagesAreVerified(t *testing.T) {
	s := offer(t, "valt-host 6.4.1-1")
	if x := s.indexed(t, "valt"); len(x.Packages) != 1 || len(x.Files) != 2 {
		t.Errorf("%d packages in %d files", len(x.Packages), len(x.Files))
	}
	s.files["/dists/noble/main/binary-amd64/Packages.gz"][20] ^= 1
	if _, err := s.index(t, "valt", time.Now()); problem.KindOf(err) != problem.Trust {
		t.Errorf("a changed list: %v", err)
	}
	s = offer(t, "valt-host 6.4.1-1")
	s.signer = signer(t)
	if _, err := s.index(t, "valt", time.Now()); problem.KindOf(err) != problem.Trust {
		t.Errorf("a stranger's signature: %v", err)
	}
	s = offer(t, "valt-host 6.4.1-1")
	s.head = "Valid-Until: " + time.Now().Add(time.Hour).UTC().Format(time.RFC1123) + "\n"
	s.sign(t)
	if _, err := s.index(t, "valt", time.Now()); err != nil {
		t.Errorf("one that is valid: %v", err)
	}
	if _, err := s.index(t, "valt", time.Now().Add(2*time.Hour)); problem.KindOf(err) != problem.Trust {
		t.Errorf("one that was valid: %v", err)
	}
	delete(s.files, "/dists/noble/InRelease")
	if _, err := s.index(t, "valt", time.Now()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("one that is not there: %v", err)
	}
}

func newline(fields string) string {
	if fields == "" {
		return ""
	}
	return "\n"
}
