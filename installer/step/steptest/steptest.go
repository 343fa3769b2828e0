// Package steptest gives the tests of steps their hosts: a machine in a folder, one whose
// programs are recorded, one with the real programs in a root of its own, and the contract that
// every step is held against (Settles). It knows no step, so that each room's tests use it.
package steptest

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/testneeds"
)

// Noted is the clock of these tests.
var Noted = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// RootMachine is a host whose files live in a temporary folder.
func RootMachine(t *testing.T, secrets map[string]string) *step.Machine {
	t.Helper()
	testneeds.Of(t, testneeds.Root) // it gives files to root
	return &step.Machine{
		Root: t.TempDir(),
		Run:  RecordedRuns{},
		Now:  func() time.Time { return Noted },
		Secret: func(name string) ([]byte, error) {
			s, ok := secrets[name]
			if !ok {
				return nil, errors.New("no secret " + name)
			}
			return []byte(s), nil
		},
	}
}

// RecordedRuns lets every program succeed.
type RecordedRuns map[string]int

// Run counts the program by its command line.
func (r RecordedRuns) Run(_ context.Context, c step.Command) (step.Output, error) {
	r[strings.Join(c.Argv, " ")]++
	return step.Output{}, nil
}

// Place writes a file below a machine's root.
func Place(t *testing.T, h *step.Machine, path, content string) {
	t.Helper()
	full := h.Path(path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// MakeStep builds a step as a host does, from JSON.
func MakeStep(t *testing.T, k step.Kind, params any) step.Step {
	t.Helper()
	raw, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	s, err := step.NewRegistry([]step.Kind{k}).Make(step.Spec{ID: "it", Kind: k.Name, Params: raw})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Settles proves the contract of every step: a difference is found and told, nothing
// is changed by looking, Apply removes it, and a second look finds nothing.
func Settles(t *testing.T, s step.Step, h *step.Machine) step.Finding {
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

// Content is what a file of the machine holds.
func Content(t *testing.T, h *step.Machine, path string) string {
	t.Helper()
	b, err := os.ReadFile(h.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Mode is a file's permissions.
func Mode(t *testing.T, h *step.Machine, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(h.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// RunFunc runs programs by a function.
type RunFunc func(context.Context, step.Command) (step.Output, error)

// Run calls the function.
func (f RunFunc) Run(ctx context.Context, c step.Command) (step.Output, error) { return f(ctx, c) }
