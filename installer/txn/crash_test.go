package txn

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/repos/testdraw"
)

// afterCrash is what happens to a host between being cut off and going on.
type afterCrash struct {
	name string
	do   func(h *fakeHost, id string)
}

func afterCrashes(secrets map[string][]byte) []afterCrash {
	return []afterCrash{
		{"killed", func(*fakeHost, string) {}},
		{"killed, with a torn line", func(h *fakeHost, id string) { tear(h.t, h.store().journalFile(id)) }},
		{"rebooted, then resumed by a person", func(h *fakeHost, id string) {
			h.reboot()
			// The boot unit comes first, and may be all that is needed.
			if _, err := (Launcher{Store: h.store(), Root: h.root, Run: &fakeRunner{}}).Resume(h.t.Context(), h.machine(), h.kinds()); err != nil {
				h.t.Fatal(err)
			}
			if h.summary(id).State == StateWaiting {
				if err := h.store().Restart(id, secrets); err != nil {
					h.t.Fatal(err)
				}
			}
		}},
	}
}

// tear leaves half a line at a journal's end.
func tear(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(`{"seq":99,"time":"2026-`); err != nil {
		t.Fatal(err)
	}
}

// undisturbed is how many moments a whole install has.
func undisturbed(t *testing.T) int {
	t.Helper()
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	before := h.moment
	if result := h.finish(id); !result.Complete() || result.Changed != 4 {
		t.Fatalf("%+v", result)
	}
	return h.moment - before
}

func TestCutAtEveryMomentItComesToTheSameEnd(t *testing.T) {
	moments := undisturbed(t)
	if moments < 25 {
		t.Fatalf("only %d moments: what is being tested?", moments)
	}
	_, secrets := install(t)
	for _, after := range afterCrashes(secrets) {
		for at := 1; at <= moments; at++ {
			t.Run(fmt.Sprintf("%s at %d", after.name, at), func(t *testing.T) { cutOnce(t, at, after) })
		}
	}
}

func cutOnce(t *testing.T, at int, after afterCrash) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	h.crashAt = h.moment + at
	if _, crashed := h.execute(id); !crashed {
		t.Fatal("it did not crash")
	}
	done := asWanted(h)
	after.do(h, id)
	result := h.finish(id)
	if !result.Complete() || result.Changed != 4 || result.Unchanged != 0 {
		t.Fatalf("%+v", result)
	}
	h.same(installed())
	for key, n := range h.applies {
		if done[key] && n != 1 {
			t.Errorf("%s was as wanted and was applied again", key)
		}
	}
	checkOver(t, h, id)
}

// asWanted says which keys are as install wants them.
func asWanted(h *fakeHost) map[string]bool {
	done := map[string]bool{}
	for key, want := range installed() {
		done[key] = h.state[key] == want
	}
	return done
}

// checkOver checks what must be so after the end of an install, however it came to it.
func checkOver(t *testing.T, h *fakeHost, id string) {
	t.Helper()
	if s := h.summary(id); s.State != StateDone || s.Release != "6.4.2" || s.Who != "pat@laptop" {
		t.Errorf("%+v", s)
	}
	records, torn, err := h.store().Journal(id)
	if err != nil || torn != nil || records[len(records)-1].Kind != journal.End {
		t.Error(torn, err)
	}
	host, err := os.ReadFile(filepath.Join(h.root, "/var/lib/valtctl/host.json"))
	if err != nil || !bytes.Contains(host, []byte(`"release": "6.4.2"`)) {
		t.Errorf("%s, %v", host, err)
	}
	if _, err := os.Stat(h.store().runDir(id)); !os.IsNotExist(err) {
		t.Error("secrets are left behind:", err)
	}
	checkNoSecretOnDisk(t, h)
}

// checkNoSecretOnDisk looks into every file that outlives a run.
func checkNoSecretOnDisk(t *testing.T, h *fakeHost) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(h.root, "var"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), "KEY-1234") {
			t.Errorf("%s holds a secret", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCutTwiceItComesToTheSameEnd(t *testing.T) {
	moments, tried := undisturbed(t), 0
	for first := 1; first <= moments; first += 3 {
		for second := 1; second <= moments; second += 4 {
			h := newHost(t)
			request, secrets := install(t)
			id := h.create(request, secrets)
			h.crashAt = h.moment + first
			h.execute(id)
			h.crashAt = h.moment + second
			h.execute(id)
			h.crashAt = 0
			if result := h.finish(id); !result.Complete() {
				t.Fatalf("cut at %d and then %d: %+v", first, second, result)
			}
			h.same(installed())
			tried++
		}
	}
	testdraw.Tried(t, tried, "pairs of kills")
}
