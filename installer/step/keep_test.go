package step

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// quietRunner does nothing, well.
type quietRunner struct{}

func (quietRunner) Run(context.Context, Command) (Output, error) { return Output{}, nil }

func keptMachine(t *testing.T) *Machine {
	t.Helper()
	return &Machine{Root: t.TempDir(), Keep: filepath.Join(t.TempDir(), "keep"), Run: quietRunner{}, Now: time.Now}
}

func TestFilesComeBackAsTheyWere(t *testing.T) {
	for name, before := range map[string]func(h *Machine, full string) error{
		"not there":       func(*Machine, string) error { return nil },
		"another content": func(_ *Machine, full string) error { return os.WriteFile(full, []byte("old\n"), 0o600) },
		"a link":          func(_ *Machine, full string) error { return os.Symlink("/etc/elsewhere", full) },
		"empty":           func(_ *Machine, full string) error { return os.WriteFile(full, nil, 0o640) },
	} {
		t.Run(name, func(t *testing.T) {
			h := keptMachine(t)
			const path = "/etc/valt/app.conf"
			full := h.Path(path)
			if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := before(h, full); err != nil {
				t.Fatal(err)
			}
			was, content, err := lookAtFile(h, path)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second must not take its own work for what was there
				if err := WriteFile(h, path, []byte("new\n"), Owner{Mode: 0o644}); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if _, err := PutBack(h); err != nil {
					t.Fatal(err)
				}
			}
			is, now, err := lookAtFile(h, path)
			if err != nil || is != was || string(now) != string(content) {
				t.Errorf("%+v %q, not %+v %q: %v", is, now, was, content, err)
			}
		})
	}
}

func TestWhatIsKeptIsNobodyElses(t *testing.T) {
	h := keptMachine(t)
	full := h.Path("/etc/valt/tls/key.pem")
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte("SECRET"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(h, "/etc/valt/tls/key.pem", []byte("NEW"), Owner{Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(h.Keep)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(h.Keep)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is open to others: %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

func TestAKeepThatWasCutOffIsMadeAnew(t *testing.T) {
	h := keptMachine(t)
	const path = "/etc/valt/app.conf"
	if err := os.MkdirAll(filepath.Dir(h.Path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.Path(path), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(h.Keep, 0o700); err != nil { // cut between content and its description
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.Keep, "%2Fetc%2Fvalt%2Fapp.conf"), []byte("ol"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(h, path, []byte("new"), Owner{Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := PutBack(h); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(h.Path(path)); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnInstallationKeepsNothing(t *testing.T) {
	h := keptMachine(t)
	h.Keep = ""
	if err := WriteFile(h, "/etc/valt/app.conf", []byte("new"), Owner{Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if any, err := PutBack(h); any || err != nil {
		t.Error(any, err)
	}
}
