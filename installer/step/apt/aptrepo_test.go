package apt

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// deb is one package to build.
type deb struct {
	name, version string
	fields        string            // further control lines
	files         map[string]string // path to content
	conffiles     string            // lines of paths
	postinst      string            // of /bin/sh
}

// aptRepo is a signed repository of tiny packages on a loopback web server.
type aptRepo struct {
	t      *testing.T
	dir    string
	server *httptest.Server
	signer *openpgp.Entity
	index  bytes.Buffer
	writes int
}

func newAptRepo(t *testing.T) *aptRepo {
	t.Helper()
	signer, err := openpgp.NewEntity("Practice", "", "apt@practice.invalid", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	r := &aptRepo{t: t, dir: t.TempDir(), signer: signer}
	r.server = httptest.NewServer(http.FileServer(http.Dir(r.dir)))
	t.Cleanup(r.server.Close)
	return r
}

// armoured is the repository's public key as its publisher gives it.
func (r *aptRepo) armoured() string {
	r.t.Helper()
	return armouredKey(r.t, r.signer)
}

func armouredKey(t *testing.T, e *openpgp.Entity) string {
	t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String() + "\n"
}

// build makes the package's file with dpkg-deb and returns its path.
func (d deb) build(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	write := func(path, content string, mode os.FileMode) {
		full := filepath.Join(tree, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	write("DEBIAN/control", d.control(), 0o644)
	if d.postinst != "" {
		write("DEBIAN/postinst", "#!/bin/sh\nset -e\n"+d.postinst, 0o755)
	}
	if d.conffiles != "" {
		write("DEBIAN/conffiles", d.conffiles, 0o644)
	}
	for path, content := range d.files {
		write(path, content, 0o644)
	}
	file := filepath.Join(t.TempDir(), "it.deb")
	if out, err := exec.Command("dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, file).CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", d.name, err, out)
	}
	return file
}

func (d deb) control() string {
	return fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Practice <apt@practice.invalid>\n%sDescription: practice\n",
		d.name, d.version, debArch, d.fields)
}

// add puts packages into the repository and signs it anew.
func (r *aptRepo) add(all ...deb) {
	r.t.Helper()
	for _, d := range all {
		content, err := os.ReadFile(d.build(r.t))
		if err != nil {
			r.t.Fatal(err)
		}
		file := fmt.Sprintf("pool/%s_%s_%s.deb", d.name, strings.ReplaceAll(d.version, ":", "."), debArch)
		r.write(file, content)
		fmt.Fprintf(&r.index, "%sFilename: %s\nSize: %d\nSHA256: %x\n\n", d.control(), file, len(content), sha256.Sum256(content))
	}
	r.sign()
}

func (r *aptRepo) sign() {
	r.t.Helper()
	name := "main/binary-" + debArch + "/Packages"
	r.write("dists/stable/"+name, r.index.Bytes())
	release := fmt.Sprintf("Origin: Practice\nSuite: stable\nCodename: stable\nDate: Sat, 01 Nov 2025 10:00:00 UTC\nArchitectures: %s\nComponents: main\nSHA256:\n %x %d %s\n",
		debArch, sha256.Sum256(r.index.Bytes()), r.index.Len(), name)
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, r.signer.PrivateKey, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := w.Write([]byte(release)); err != nil {
		r.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.write("dists/stable/InRelease", append(out.Bytes(), '\n'))
}

func (r *aptRepo) write(path string, content []byte) {
	r.t.Helper()
	full := filepath.Join(r.dir, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(full, content, 0o644); err != nil {
		r.t.Fatal(err)
	}
	// HTTP tells versions of a file apart by the second; two writes may share one.
	r.writes++
	stamp := time.Date(2026, 1, 1, 0, 0, r.writes, 0, time.UTC)
	if err := os.Chtimes(full, stamp, stamp); err != nil {
		r.t.Fatal(err)
	}
}

// source is the repository as an apt-source step gets it.
func (r *aptRepo) source() SourceParams {
	return SourceParams{Name: "practice", URI: r.server.URL + "/", Suites: []string{"stable"}, Components: []string{"main"}, Key: r.armoured()}
}

func readText(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
