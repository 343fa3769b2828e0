package system

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
)

// authority makes a certificate in PEM.
func authority(t *testing.T, name string) string {
	t.Helper()
	chain, _ := steptest.SelfSigned(t, name, steptest.Noted.Add(-time.Hour), steptest.Noted.Add(time.Hour))
	return chain
}

func trusting(t *testing.T, all ...Authority) step.Step {
	t.Helper()
	return steptest.MakeStep(t, TrustedCAKind(), TrustedCAParams{Certificates: all})
}

func TestTrustedCAIsTakenUpByTheSystemsOwnTool(t *testing.T) {
	t.Parallel()
	r := steptest.NewChroot(t)
	steptest.Place(t, r.Machine, "/usr/sbin/update-ca-certificates", "") // the machine's own is mounted over it
	steptest.Place(t, r.Machine, "/etc/ca-certificates.conf", "# an empty one has the tool link all anew\n")
	steptest.Place(t, r.Machine, "/etc/ca-certificates/update.d/.keep", "")
	steptest.Place(t, r.Machine, "/etc/ssl/certs/.keep", "")
	first, second := authority(t, "first.example"), authority(t, "second.example")
	found := steptest.Settles(t, trusting(t, Authority{"site", first + second}), r.Machine)
	if !strings.Contains(found.Diff, "+ /usr/local/share/ca-certificates/valtctl-site.crt (") {
		t.Errorf("diff:\n%s", found.Diff)
	}
	bundle := steptest.Content(t, r.Machine, trustBundle)
	if !strings.Contains(bundle, first) || !strings.Contains(bundle, second) {
		t.Errorf("the bundle:\n%s", bundle)
	}

	// The bundle lost it although the file is there.
	steptest.Place(t, r.Machine, trustBundle, first)
	found = steptest.Settles(t, trusting(t, Authority{"site", first + second}), r.Machine)
	if found.Diff != "+ /usr/local/share/ca-certificates/valtctl-site-2.crt in /etc/ssl/certs/ca-certificates.crt\n" {
		t.Errorf("diff:\n%s", found.Diff)
	}

	// An earlier update was cut off in its middle; the tool itself would append to its draft.
	steptest.Place(t, r.Machine, trustDraft, first)
	steptest.Settles(t, trusting(t, Authority{"site", first + second}), r.Machine)
	if bundle = steptest.Content(t, r.Machine, trustBundle); strings.Count(bundle, first) != 1 {
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
	steptest.Place(t, r.Machine, trustBundle, "")
	steptest.Settles(t, trusting(t, Authority{"site", first + second}), r.Machine)
	if after := hashes(); !slices.Equal(before, after) {
		t.Errorf("links by hash: %v, and %v after one that was cut off", before, after)
	}

	// No longer wanted; what somebody else added stays.
	steptest.Place(t, r.Machine, "/usr/local/share/ca-certificates/customer.crt", second)
	steptest.Settles(t, trusting(t, Authority{"site", first}), r.Machine)
	if bundle = steptest.Content(t, r.Machine, trustBundle); strings.Count(bundle, second) != 1 || !strings.Contains(bundle, first) {
		t.Errorf("the bundle:\n%s", bundle)
	}
	steptest.Settles(t, trusting(t), r.Machine)
	if bundle = steptest.Content(t, r.Machine, trustBundle); strings.Contains(bundle, first) || !strings.Contains(bundle, second) {
		t.Errorf("the bundle:\n%s", bundle)
	}
}

func TestTrustedCARemovalGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	h := steptest.RootMachine(t, nil)
	steptest.Place(t, h, trustFolder+"/valtctl-old.pem", "")
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
	h := steptest.RootMachine(t, nil)
	one, two := authority(t, "one.example"), authority(t, "two.example")
	steptest.Settles(t, trusting(t, Authority{"one", one}), h)
	steptest.Settles(t, trusting(t, Authority{"one", one}, Authority{"two", two}), h)
	if got := steptest.Content(t, h, trustBundle); got != one+two {
		t.Errorf("the bundle:\n%s", got)
	}
}

func TestTrustedCARefusesWhatIsNoAuthority(t *testing.T) {
	t.Parallel()
	_, key := steptest.SelfSigned(t, "x.example", steptest.Noted, steptest.Noted.Add(time.Hour))
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
