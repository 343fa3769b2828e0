package cases

import (
	"strings"
	"testing"
)

func TestFingerprintLeavesOutWhatPasses(t *testing.T) {
	const hash = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
	for line, left := range map[string]bool{
		"-rw-r--r-- root:root /etc/valt/host.conf":        false,
		hash + "  /etc/valt/host.conf":                    false,
		"-rw------- root:root /etc/valt/secrets/db-app":   false, // that it is there, and whose
		hash + "  /etc/valt/secrets/db-app":               true,  // what is in it
		"-rw-r----- root:shadow /etc/shadow":              false,
		hash + "  /etc/shadow":                            true,
		"-rw-r--r-- root:root /etc/passwd-":               true,
		"-rw-r--r-- root:root /etc/ld.so.cache":           true,
		hash + "  /srv/valt/recordings/lobby.mp4":         true,
		"package ii  docker-ce:amd64=5:27":                false,
		"container valt-web sha256:1 running 9":           false,
		"-rw-r--r-- root:root /etc/systemd/system/x.unit": false,
	} {
		if passing(line) != left {
			t.Errorf("%q: left out %v, want %v", line, !left, left)
		}
	}
}

func TestWhatIsInstalledHasNoTime(t *testing.T) {
	first, err1 := installedLine(`{"site":"s","release":"6.4.1","time":"2026-01-01T00:00:00Z","plan_digest":"a"}`)
	second, err2 := installedLine(`{"release":"6.4.1","site":"s","time":"2027-01-01T00:00:00Z","plan_digest":"b"}`)
	if err1 != nil || err2 != nil || first != second || !strings.Contains(first, "6.4.1") {
		t.Errorf("%q (%v), %q (%v)", first, err1, second, err2)
	}
	if _, err := installedLine("{"); err == nil {
		t.Error("what cannot be read is taken")
	}
}

func TestDifferencesAreNamed(t *testing.T) {
	want := map[string]fingerprint{"app1": {"a", "b", "c"}}
	if err := same(want, map[string]fingerprint{"app1": {"a", "b", "c"}}); err != nil {
		t.Error(err)
	}
	err := same(want, map[string]fingerprint{"app1": {"a", "c", "d"}})
	if err == nil || !strings.Contains(err.Error(), "app1") || !strings.Contains(err.Error(), "- b | + d") {
		t.Errorf("got %v", err)
	}
	if err := same(nil, map[string]fingerprint{"app1": {"a"}}); err == nil {
		t.Error("a host that nothing is known of is as it should be")
	}
}

func TestDryRunShowsAsManyDiffsAsItAnnounces(t *testing.T) {
	const good = "=== app1: one\n--- a\n+++ b\n+x\n=== app1: two\n+y\n\nsite s, release 1, plan " +
		"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\napp1       would change 2 of 9 steps\n"
	if err := shownAsDiffs(good, "app1"); err != nil {
		t.Error(err)
	}
	if digest, err := planDigest(good); err != nil || !strings.HasPrefix(digest, "0f0f") {
		t.Errorf("%q, %v", digest, err)
	}
	for name, bad := range map[string]string{
		"one is missing":  strings.Replace(good, "=== app1: two\n+y\n", "", 1),
		"one has no diff": strings.Replace(good, "+y\n", "\n", 1),
		"nothing is said": strings.Replace(good, "would change", "unchanged", 1),
		"another host's":  strings.Replace(good, "=== app1: two", "=== app2: two", 1),
	} {
		if err := shownAsDiffs(bad, "app1"); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
