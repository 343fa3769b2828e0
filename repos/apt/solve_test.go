package apt_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/problem"
)

// shelf is a signed repository with lists and no packages: nothing else is fetched.
type shelf struct {
	signer *openpgp.Entity
	files  map[string][]byte
	plain  []byte // the list, unpacked
	until  string // Valid-Until
}

// offer lists packages: "name version", then fields such as "Depends: x".
func offer(t *testing.T, packages ...string) *shelf {
	t.Helper()
	var list bytes.Buffer
	for _, p := range packages {
		head, fields, _ := strings.Cut(p, "\n")
		name, version, _ := strings.Cut(head, " ")
		fmt.Fprintf(&list, "Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: Practice <p@practice.invalid>\nFilename: pool/%s_%s_amd64.deb\nSize: 1000\nSHA256: %x\nDescription: for practice\n",
			name, version, name, version, sha256.Sum256([]byte(p)))
		if fields != "" {
			list.WriteString(fields + "\n")
		}
		list.WriteString("\n")
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(list.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s := &shelf{signer: signer(t), files: map[string][]byte{"/dists/noble/main/binary-amd64/Packages.gz": packed.Bytes()}, plain: list.Bytes()}
	s.sign(t)
	return s
}

func (s *shelf) sign(t *testing.T) {
	t.Helper()
	list := s.files["/dists/noble/main/binary-amd64/Packages.gz"]
	text := fmt.Sprintf("Origin: Practice\nSuite: noble\nCodename: noble\nDate: %s\n%sArchitectures: amd64\nComponents: main\nSHA256:\n %x %d main/binary-amd64/Packages.gz\n %x %d main/binary-amd64/Packages\n",
		time.Now().UTC().Format(time.RFC1123), s.until, sha256.Sum256(list), len(list), sha256.Sum256(s.plain), len(s.plain))
	s.files["/dists/noble/InRelease"] = sign(t, s.signer, text)
}

// index reads the shelf as of a time.
func (s *shelf) index(t *testing.T, name string, at time.Time) (*apt.Index, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if content, ok := s.files[r.URL.Path]; ok {
			_, _ = w.Write(content)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return apt.FetchIndex(t.Context(), server.Client(), apt.Repo{Name: name, URI: server.URL, Suites: []string{"noble"}, Components: []string{"main"},
		Architectures: []string{"amd64"}, Keys: public(t, s.signer, true)}, at)
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
	ubuntu := offer(t, "libc6 2.39", "adduser 3.137\nDepends: libc6", "nftables 1.0.9\nDepends: libc6 (>= 2.39)").indexed(t, "ubuntu")
	valt := offer(t, "valt-host 6.4.1-1\nDepends: nftables, adduser", "valt-host 6.4.2-1\nDepends: nftables, adduser\nRecommends: toys").indexed(t, "valt")
	installed := func(stanzas ...string) []byte {
		var out strings.Builder
		for _, s := range stanzas {
			head, fields, _ := strings.Cut(s, "\n")
			name, version, _ := strings.Cut(head, " ")
			fmt.Fprintf(&out, "Package: %s\nStatus: install ok installed\nMaintainer: Practice <p@practice.invalid>\nArchitecture: amd64\nVersion: %s\nDescription: for practice\n%s\n", name, version, fields+newline(fields))
		}
		return []byte(out.String())
	}
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
		solved, err := apt.Solve(t.Context(), []*apt.Index{ubuntu, valt}, c.status, c.wants)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var takes []string
		for _, p := range solved {
			takes = append(takes, p.Repo+"/"+p.Name+"="+p.Version)
		}
		slices.Sort(takes)
		if !slices.Equal(takes, c.takes) {
			t.Errorf("%s: it takes %v, want %v", name, takes, c.takes)
		}
	}
	if _, err := apt.Solve(t.Context(), []*apt.Index{valt}, nil, []string{"valt-host"}); err == nil || !strings.Contains(err.Error(), "nftables") {
		t.Errorf("what cannot be had is not named: %v", err)
	}
	if _, err := apt.Solve(t.Context(), []*apt.Index{valt}, nil, []string{"valt-host=9"}); err == nil || !strings.Contains(err.Error(), "valt-host") {
		t.Errorf("a version that nobody has: %v", err)
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
	s.until = "Valid-Until: " + time.Now().Add(time.Hour).UTC().Format(time.RFC1123) + "\n"
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
