package apt_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testneeds"
)

func TestRenderedSourceIsReadBackWordForWord(t *testing.T) {
	s := apt.Source{
		Comment: "one\ntwo", URIs: []string{"https://apt.ipivs.com/ubuntu"}, Suites: []string{"noble", "noble-updates"},
		Components: []string{"main", "universe"}, Architectures: []string{"amd64"}, SignedBy: "/etc/apt/keyrings/valt.gpg",
	}
	text, err := s.Render()
	if err != nil {
		t.Fatal(err)
	}
	want := `# one
# two
Types: deb
URIs: https://apt.ipivs.com/ubuntu
Suites: noble noble-updates
Components: main universe
Architectures: amd64
Signed-By: /etc/apt/keyrings/valt.gpg
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
	for p, err := range apt.Paragraphs(bytes.NewReader(text)) {
		if err != nil || p.Get("signed-by") != s.SignedBy || !cmp.Equal(p.Words("Suites"), s.Suites) {
			t.Errorf("%+v, %v", p, err)
		}
	}
}

func TestSourceThatAptWouldReadOtherwiseIsRefused(t *testing.T) {
	good := apt.Source{URIs: []string{"http://x/"}, Suites: []string{"./"}, SignedBy: "/k.gpg"}
	if _, err := good.Render(); err != nil {
		t.Errorf("a flat source: %v", err)
	}
	for name, spoil := range map[string]func(*apt.Source){
		"no keyring":       func(s *apt.Source) { s.SignedBy = "" },
		"relative keyring": func(s *apt.Source) { s.SignedBy = "k.gpg" },
		"no address":       func(s *apt.Source) { s.URIs = nil },
		"no suite":         func(s *apt.Source) { s.Suites = nil },
		"no component":     func(s *apt.Source) { s.Suites = []string{"noble"} },
		"a line break":     func(s *apt.Source) { s.URIs = []string{"http://x/\nTrusted: yes"} },
		"two words":        func(s *apt.Source) { s.Components = []string{"a b"} },
	} {
		s := good
		spoil(&s)
		if text, err := s.Render(); err == nil {
			t.Errorf("%s: rendered as %q", name, text)
		}
	}
}

func TestVersionsAreOrderedAsDpkgOrdersThem(t *testing.T) {
	testneeds.Of(t, testneeds.Program("dpkg", "dpkg"))
	versions := []string{"1.0", "1.0-1", "1.0~rc1", "1:0.9", "1.0+b1", "1.0-1ubuntu2", "6.4.10", "6.4.9", "0", "5:27.3.1-1~ubuntu.24.04~noble", "2.39-0ubuntu8"}
	for _, a := range versions {
		for _, b := range versions {
			got, err := apt.CompareVersions(a, b)
			if err != nil {
				t.Fatal(err)
			}
			word := map[bool]string{true: "lt", false: "ge"}[got < 0]
			if err := exec.Command("dpkg", "--compare-versions", a, word, b).Run(); err != nil {
				t.Errorf("%s and %s: %d, and dpkg does not agree on %s: %v", a, b, got, word, err)
			}
		}
	}
	if _, err := apt.CompareVersions("1", "not a version"); err == nil {
		t.Error("rubbish was compared")
	}
}

const releaseText = `Origin: Practice
Suite: stable
Codename: noble
Date: Sat, 21 Nov 2026 10:00:00 UTC
Valid-Until: Sat, 28 Nov 2026 10:00:00 +0000
Acquire-By-Hash: yes
Architectures: amd64 i386
Components: main
SHA256:
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/binary-amd64/Packages
`

func signer(t testing.TB) *openpgp.Entity {
	t.Helper()
	return signerAt(t, time.Now)
}

func signerAt(t testing.TB, now func() time.Time) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Practice", "", "apt@practice.invalid", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: now})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func sign(t testing.TB, e *openpgp.Entity, text string) []byte {
	t.Helper()
	return signAt(t, e, text, time.Now)
}

func signAt(t testing.TB, e *openpgp.Entity, text string, now func() time.Time) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, e.PrivateKey, &packet.Config{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

// public is an entity's public key, armoured or not.
func public(t testing.TB, e *openpgp.Entity, armoured bool) []byte {
	t.Helper()
	var binary, text bytes.Buffer
	if err := e.Serialize(&binary); err != nil {
		t.Fatal(err)
	}
	if !armoured {
		return binary.Bytes()
	}
	return encode(t, &text, openpgp.PublicKeyType, binary.Bytes())
}

func encode(t testing.TB, out *bytes.Buffer, kind string, binary []byte) []byte {
	t.Helper()
	w, err := armor.Encode(out, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(binary); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

func TestInReleaseIsReadOnlyUnderItsKey(t *testing.T) {
	ours, other := signer(t), signer(t)
	keys, err := apt.ReadKeyring(public(t, ours, true))
	if err != nil {
		t.Fatal(err)
	}
	release, err := apt.ReadInRelease(sign(t, ours, releaseText), keys, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if release.Codename != "noble" || !release.ByHash || !release.ValidUntil.Equal(time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)) ||
		len(release.Files["main/binary-amd64/Packages"].SHA256) != 64 {
		t.Errorf("%+v", release)
	}
	good := sign(t, ours, releaseText)
	for name, signed := range map[string][]byte{
		"another's signature": sign(t, other, releaseText),
		"a changed text":      bytes.Replace(good, []byte("noble"), []byte("jammy"), 1),
		"no signature":        []byte(releaseText),
		"text after it":       append(bytes.Clone(good), "Origin: evil\n"...),
		"text before it":      append([]byte("Origin: evil\n"), good...),
		"cut short":           good[:len(good)/2],
		"nothing":             nil,
	} {
		if _, err := apt.ReadInRelease(signed, keys, time.Now()); problem.KindOf(err) != problem.Trust {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignedTextIsNeverReadUnverified(t *testing.T) {
	if _, err := apt.ReadRelease(bytes.NewReader(sign(t, signer(t), releaseText))); err == nil || !strings.Contains(err.Error(), "clear-signed") {
		t.Error(err)
	}
}

func TestKeyringsOfEveryFormBecomeBinary(t *testing.T) {
	one, two := signer(t), signer(t)
	both := append(public(t, one, false), public(t, two, false)...)
	for name, data := range map[string][]byte{
		"binary": both, "two armoured blocks": append(public(t, one, true), public(t, two, true)...),
	} {
		got, err := apt.Dearmor(data)
		if err != nil || !bytes.Equal(got, both) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		prints, err := apt.Fingerprints(got)
		if err != nil || len(prints) != 2 || len(prints[0]) != 40 {
			t.Errorf("%s: %q, %v", name, prints, err)
		}
	}
	var private, text bytes.Buffer
	if err := one.SerializePrivate(&private, nil); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "rubbish": []byte("rubbish"), "a private key": private.Bytes(),
		"an armoured private key": encode(t, &text, openpgp.PrivateKeyType, private.Bytes()),
		"cut short":               public(t, one, true)[:60],
	} {
		if _, err := apt.Dearmor(data); err == nil {
			t.Errorf("%s was taken for a keyring", name)
		}
	}
}

const packagesText = `Package: valt-host
Version: 6.4.1-1
Architecture: amd64
Depends: libc6 (>= 2.38),
 docker-ce
Filename: pool/v/valt-host_6.4.1-1_amd64.deb
Size: 1234
SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
Description: practice
 long
 .
 words

Package: only-installed
Version: 1
Architecture: all
`

func TestReadPackagesTakesWhatARepositoryHolds(t *testing.T) {
	all, err := apt.ReadPackages(strings.NewReader(packagesText))
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	if p := all[0]; p.Key() != "valt-host:amd64=6.4.1-1" || p.Hash.Size != 1234 || !strings.Contains(p.Paragraph.Get("depends"), "docker-ce") {
		t.Errorf("%+v", p)
	}
	for name, spoil := range map[string][2]string{
		"a size of words":  {"Size: 1234", "Size: big"},
		"a short sum":      {"SHA256: e3", "SHA256: "},
		"a climbing path":  {"pool/v/", "../../"},
		"an absolute path": {"pool/v/", "/etc/"},
		"no version":       {"Version: 6.4.1-1\n", ""},
		"a field twice":    {"Size: 1234", "Size: 1234\nsize: 1"},
		"no colon":         {"Size: 1234", "Size 1234"},
		"a stray line":     {"Package: valt-host", " stray\nPackage: valt-host"},
	} {
		if got, err := apt.ReadPackages(strings.NewReader(strings.Replace(packagesText, spoil[0], spoil[1], 1))); err == nil {
			t.Errorf("%s was read as %+v", name, got)
		}
	}
}

func TestReadReleaseNamesWhatIsWrong(t *testing.T) {
	for want, spoil := range map[string][2]string{
		"Date":               {"Date: Sat", "Date: Someday"},
		"Valid-Until":        {"Valid-Until: Sat", "Valid-Until: Never"},
		"not a SHA-256":      {" e3b0", " zz"},
		"not a size":         {" 0 main", " x main"},
		"leaves its folder":  {"main/binary", "../binary"},
		"no file is listed":  {"SHA256:\n", "MD5Sum:\n"},
		"sum, a size and a ": {" 0 main", " main"},
	} {
		if _, err := apt.ReadRelease(strings.NewReader(strings.Replace(releaseText, spoil[0], spoil[1], 1))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := apt.ReadRelease(strings.NewReader("")); err == nil {
		t.Error("an empty Release was read")
	}
}

func FuzzParagraphs(f *testing.F) {
	f.Add([]byte(packagesText))
	f.Add([]byte(releaseText))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\n\nA: b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for p, err := range apt.Paragraphs(bytes.NewReader(data)) {
			if err == nil && bytes.HasPrefix(data, []byte("-----BEGIN PGP ")) {
				t.Errorf("signed text was read unverified: %+v", p)
			}
		}
	})
}

func FuzzReadPackages(f *testing.F) {
	f.Add([]byte(packagesText))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := apt.ReadPackages(bytes.NewReader(data))
		for _, p := range all {
			if err == nil && (strings.HasPrefix(p.Filename, "/") || strings.Contains("/"+p.Filename+"/", "/../") || p.Hash.Size < 0) {
				t.Errorf("a package that cannot be: %+v", p)
			}
		}
	})
}

func FuzzReadRelease(f *testing.F) {
	f.Add([]byte(releaseText))
	f.Fuzz(func(t *testing.T, data []byte) {
		release, err := apt.ReadRelease(bytes.NewReader(data))
		for path := range release.Files {
			if err == nil && strings.Contains("/"+path+"/", "/../") {
				t.Errorf("a path that climbs: %q", path)
			}
		}
	})
}

// practiceKey is a public key of nobody: seeds must be the same in every process.
const practiceKey = `-----BEGIN PGP PUBLIC KEY BLOCK-----

xjMEawNO8xYJKwYBBAHaRw8BAQdAl3OfzPzUXrnMuIygW3Ql8LFfR0gBfHH5Cwwa
ENSO57jNH1ByYWN0aWNlIDxhcHRAcHJhY3RpY2UuaW52YWxpZD7CvQQTFggAbwWC
awNO8wILBwkQNRw5Lox90281FAAAAAAAHAAQc2FsdEBub3RhdGlvbnMub3BlbnBn
cGpzLm9yZzdWfTsv/WAIFWlfUkaXX/ICFQgCFgACGQECmwMCHgEWIQR9GS+CwDR2
Yu+EmkA1HDkujH3TbwAAsSwBAMcc7aPXiKnVdhxQQ40Ge78xbBRvJl/BROjm77le
DqEbAP9yq12NKOiUqeMXbPl6ie5Vhv/Ex5ExD/CVV7f+vbNyBc44BGsDTvMSCisG
AQQBl1UBBQEBB0BCphs9Khncq1rojna2uLwy6ThoVJxMEtAoKfeeadGxSAMBCgnC
rgQYFggAYAWCawNO8wkQNRw5Lox90281FAAAAAAAHAAQc2FsdEBub3RhdGlvbnMu
b3BlbnBncGpzLm9yZz9aj6wx1bdtQmUn1Xox3ckCmwwWIQR9GS+CwDR2Yu+EmkA1
HDkujH3TbwAAao4BANHvYxv8SY4L61uCu4iVaschC1EAXipWQiBZd9xgxUP8AQDM
JBze/dQbPCAaCqW1kQXnJxj8bmNrNIIfotVDQMHwBg==
=ip5V
-----END PGP PUBLIC KEY BLOCK-----
`

func FuzzDearmor(f *testing.F) {
	f.Add([]byte(practiceKey))
	f.Fuzz(func(t *testing.T, data []byte) {
		if binary, err := apt.Dearmor(data); err == nil {
			if prints, err := apt.Fingerprints(binary); err != nil || len(prints) == 0 {
				t.Errorf("a keyring of nothing: %v", err)
			}
		}
	})
}
