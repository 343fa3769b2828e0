package step

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// authority makes a certificate in PEM.
func authority(t *testing.T, name string) string {
	t.Helper()
	chain, _ := selfSigned(t, name, noted.Add(-time.Hour), noted.Add(time.Hour))
	return chain
}

func trusting(t *testing.T, all ...Authority) Step {
	t.Helper()
	return makeStep(t, TrustedCAKind(), TrustedCAParams{Certificates: all})
}

func TestTrustedCAIsTakenUpByTheSystemsOwnTool(t *testing.T) {
	t.Parallel()
	r := newChroot(t)
	place(t, r.Machine, "/usr/sbin/update-ca-certificates", "") // the machine's own is mounted over it
	place(t, r.Machine, "/etc/ca-certificates.conf", "# an empty one has the tool link all anew\n")
	place(t, r.Machine, "/etc/ca-certificates/update.d/.keep", "")
	place(t, r.Machine, "/etc/ssl/certs/.keep", "")
	first, second := authority(t, "first.example"), authority(t, "second.example")
	found := settles(t, trusting(t, Authority{"site", first + second}), r.Machine)
	if !strings.Contains(found.Diff, "+ /usr/local/share/ca-certificates/valtctl-site.crt (") {
		t.Errorf("diff:\n%s", found.Diff)
	}
	bundle := content(t, r.Machine, trustBundle)
	if !strings.Contains(bundle, first) || !strings.Contains(bundle, second) {
		t.Errorf("the bundle:\n%s", bundle)
	}

	// The bundle lost it although the file is there.
	place(t, r.Machine, trustBundle, first)
	found = settles(t, trusting(t, Authority{"site", first + second}), r.Machine)
	if found.Diff != "+ /usr/local/share/ca-certificates/valtctl-site-2.crt in /etc/ssl/certs/ca-certificates.crt\n" {
		t.Errorf("diff:\n%s", found.Diff)
	}

	// An earlier update was cut off in its middle; the tool itself would append to its draft.
	place(t, r.Machine, trustDraft, first)
	settles(t, trusting(t, Authority{"site", first + second}), r.Machine)
	if bundle = content(t, r.Machine, trustBundle); strings.Count(bundle, first) != 1 {
		t.Errorf("an authority is in the bundle %d times:\n%s", strings.Count(bundle, first), bundle)
	}

	// One was cut off after it had linked them and before it hashed the folder.
	hashes := func() []string {
		found, err := filepath.Glob(r.Machine.Path(trustFolder + "/*.0"))
		if err != nil || len(found) == 0 {
			t.Fatalf("links by hash: %v, %v", found, err)
		}
		return found
	}
	before := hashes()
	for _, link := range before {
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	place(t, r.Machine, trustBundle, "")
	settles(t, trusting(t, Authority{"site", first + second}), r.Machine)
	if after := hashes(); !slices.Equal(before, after) {
		t.Errorf("links by hash: %v, and %v after one that was cut off", before, after)
	}

	// No longer wanted; what somebody else added stays.
	place(t, r.Machine, "/usr/local/share/ca-certificates/customer.crt", second)
	settles(t, trusting(t, Authority{"site", first}), r.Machine)
	if bundle = content(t, r.Machine, trustBundle); strings.Count(bundle, second) != 1 || !strings.Contains(bundle, first) {
		t.Errorf("the bundle:\n%s", bundle)
	}
	settles(t, trusting(t), r.Machine)
	if bundle = content(t, r.Machine, trustBundle); strings.Contains(bundle, first) || !strings.Contains(bundle, second) {
		t.Errorf("the bundle:\n%s", bundle)
	}
}

func TestTrustedCARemovalGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	h := rootMachine(t, nil)
	place(t, h, trustFolder+"/valtctl-old.pem", "")
	if err := os.Remove(h.Path(trustFolder + "/valtctl-old.pem")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/local/share/ca-certificates/valtctl-old.crt", h.Path(trustFolder+"/valtctl-old.pem")); err != nil {
		t.Fatal(err)
	}
	found, err := trusting(t).Inspect(t.Context(), h)
	if err != nil || found.Diff != "- /etc/ssl/certs/valtctl-old.pem\n" {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestTrustedCAWorksBeforeItsPackage(t *testing.T) {
	t.Parallel()
	h := rootMachine(t, nil)
	one, two := authority(t, "one.example"), authority(t, "two.example")
	settles(t, trusting(t, Authority{"one", one}), h)
	settles(t, trusting(t, Authority{"one", one}, Authority{"two", two}), h)
	if got := content(t, h, trustBundle); got != one+two {
		t.Errorf("the bundle:\n%s", got)
	}
}

func TestTrustedCARefusesWhatIsNoAuthority(t *testing.T) {
	t.Parallel()
	_, key := selfSigned(t, "x.example", noted, noted.Add(time.Hour))
	good := authority(t, "x.example")
	for name, all := range map[string][]Authority{
		"a key":           {{"one", key}},
		"nothing":         {{"one", "no PEM"}},
		"a climbing name": {{"../one", good}},
		"rubbish":         {{"one", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))}},
		"the same twice":  {{"one", good}, {"one", good}},
		"colliding names": {{"one", good + good}, {"one-2", good}},
	} {
		if _, err := newTrustedCA(TrustedCAParams{Certificates: all}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
