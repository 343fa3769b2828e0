package mirror

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/pki"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

// A repository of one of the lab's own packages, indexed and signed, is accepted by
// gpgv under the vendor's key and by nobody else's.
func TestSignedRepositoryVerifiesWithGpgv(t *testing.T) {
	root := t.TempDir()
	repository := Repository{Vendor: "ipivs", Origin: "IPIVS", Suites: []Suite{{noble.Codename, "main"}}}
	pool := filepath.Join(root, "pool", noble.Codename)
	if err := os.MkdirAll(pool, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range ownPackages(noble) {
		if p.From == "" {
			if err := p.build(t.Context(), "", pool); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := repository.index(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ours, theirs := newKey(t, now), newKey(t, now)
	if err := repository.Sign(root, ours, now); err != nil {
		t.Fatal(err)
	}
	dists := filepath.Join(root, "dists", noble.Codename)
	if err := gpgv(t, ours, filepath.Join(dists, "InRelease")); err != nil {
		t.Errorf("InRelease: %v", err)
	}
	if err := gpgv(t, ours, filepath.Join(dists, "Release.gpg"), filepath.Join(dists, "Release")); err != nil {
		t.Errorf("Release.gpg: %v", err)
	}
	if err := gpgv(t, theirs, filepath.Join(dists, "InRelease")); err == nil {
		t.Error("InRelease verified with a key that did not sign it")
	}
}

var noble = must(ubuntu.Find("24.04", ""))

func must(r ubuntu.Release, err error) ubuntu.Release {
	if err != nil {
		panic(err)
	}
	return r
}

func newKey(t *testing.T, now time.Time) pki.PGPKey {
	t.Helper()
	key, err := pki.NewPGPKey(now, "test", "test@valt.lab.example")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func gpgv(t *testing.T, key pki.PGPKey, files ...string) error {
	t.Helper()
	keyring := filepath.Join(t.TempDir(), "keyring.gpg")
	if err := os.WriteFile(keyring, key.Binary, 0o644); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), "gpgv", append([]string{"--homedir", t.TempDir(), "--keyring", keyring}, files...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}

func TestReleaseNamesEveryIndexByItsHash(t *testing.T) {
	root := t.TempDir()
	suite := Suite{noble.Codename, "main"}
	folder := filepath.Join(root, "dists", suite.Name, suite.indexFolder())
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Packages", "Packages.gz"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("CET", 3600))
	text, err := Repository{Vendor: "ubuntu", Origin: "Ubuntu"}.release(root, suite, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Origin: Ubuntu\n", "Suite: noble\n", "Components: main\n", "Acquire-By-Hash: yes\n",
		"Date: Sun, 01 Mar 2026 11:00:00 UTC\n", "Valid-Until: Sun, 08 Mar 2026 11:00:00 UTC\n",
		" 8 main/binary-amd64/Packages\n", " 11 main/binary-amd64/Packages.gz\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the Release lacks %q:\n%s", want, text)
		}
	}
	byHash, err := filepath.Glob(filepath.Join(folder, "by-hash", "SHA256", "*"))
	if err != nil || len(byHash) != 2 {
		t.Errorf("there are %d indexes by hash (%v), want 2", len(byHash), err)
	}
}

func TestPoolNamesLeaveTheEpochOut(t *testing.T) {
	before, after, found := cutEpoch("tool_5%3a1.2-3_amd64.deb")
	if before != "tool_" || after != "1.2-3_amd64.deb" || !found {
		t.Errorf("got %q %q %v", before, after, found)
	}
	if _, _, found := cutEpoch("tool_1.2-3_amd64.deb"); found {
		t.Error("found an epoch where there is none")
	}
	if got := (ownPackage{Name: "docker-ce", Version: noble.Docker}).file(); got != "docker-ce_26.1.4-1~ubuntu.24.04~noble_amd64.deb" {
		t.Errorf("the lab's own package is called %s", got)
	}
}

func TestSecurityUpdatesAreInThreeSuites(t *testing.T) {
	if got := suitesOf("curl_7.88.1-10+deb12u15_amd64.deb", "noble"); len(got) != 3 {
		t.Errorf("a security update is in %v", got)
	}
	if got := suitesOf("tini_0.19.0-1+b3_amd64.deb", "noble"); len(got) != 1 || got[0] != "noble" {
		t.Errorf("an ordinary package is in %v", got)
	}
}
