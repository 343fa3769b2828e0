package step

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/testneeds"
)

// noted is the clock of these tests.
var noted = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// rootMachine is a host whose files live in a temporary folder.
func rootMachine(t *testing.T, secrets map[string]string) *Machine {
	t.Helper()
	testneeds.Of(t, testneeds.Root) // it gives files to root
	return &Machine{
		Root: t.TempDir(),
		Run:  recordedRuns{},
		Now:  func() time.Time { return noted },
		Secret: func(name string) ([]byte, error) {
			s, ok := secrets[name]
			if !ok {
				return nil, errors.New("no secret " + name)
			}
			return []byte(s), nil
		},
	}
}

// recordedRuns lets every program succeed.
type recordedRuns map[string]int

func (r recordedRuns) Run(_ context.Context, c Command) (Output, error) {
	r[strings.Join(c.Argv, " ")]++
	return Output{}, nil
}

// place writes a file below a machine's root.
func place(t *testing.T, h *Machine, path, content string) {
	t.Helper()
	full := h.Path(path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// makeStep builds a step as a host does, from JSON.
func makeStep(t *testing.T, k Kind, params any) Step {
	t.Helper()
	raw, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewRegistry([]Kind{k}).Make(Spec{ID: "it", Kind: k.Name, Params: raw})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// settles proves the contract of every step: a difference is found and told, nothing
// is changed by looking, Apply removes it, and a second look finds nothing.
func settles(t *testing.T, s Step, h *Machine) Finding {
	t.Helper()
	ctx := t.Context()
	first, err := s.Inspect(ctx, h)
	if err != nil {
		t.Fatalf("first look: %v", err)
	}
	if !first.Change || first.Diff == "" {
		t.Fatalf("first look found no difference to tell: %+v", first)
	}
	again, err := s.Inspect(ctx, h)
	if err != nil || again.Diff != first.Diff {
		t.Fatalf("looking changed something: %+v then %+v, %v", first, again, err)
	}
	for range 2 {
		if err := s.Apply(ctx, h); err != nil {
			t.Fatalf("applying: %v", err)
		}
		after, err := s.Inspect(ctx, h)
		if err != nil || after.Change || after.Diff != "" {
			t.Fatalf("after applying: %+v, %v", after, err)
		}
	}
	return first
}

func content(t *testing.T, h *Machine, path string) string {
	t.Helper()
	b, err := os.ReadFile(h.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mode(t *testing.T, h *Machine, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(h.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func (f runFunc) Run(ctx context.Context, c Command) (Output, error) { return f(ctx, c) }

// runFunc runs programs by a function.
type runFunc func(context.Context, Command) (Output, error)
