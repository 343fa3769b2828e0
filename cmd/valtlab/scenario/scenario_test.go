package scenario

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func run(t *testing.T, s Scenario, seed uint64) (string, bool) {
	t.Helper()
	var out bytes.Buffer
	passed := Run(t.Context(), s, nil, Options{Seed: seed, Now: func() time.Time { return time.Unix(0, 0) }, Out: &out})
	return out.String(), passed
}

func TestVerdictIsTheLastLine(t *testing.T) {
	good := Scenario{Name: "good", Run: func(_ context.Context, e *Env) error { e.Measure("count", "%d", e.Count); return nil }}
	out, passed := run(t, good, 1)
	if !passed || !strings.HasSuffix(out, "\nPASS good\n") || !strings.Contains(out, "  count: 1\n") {
		t.Errorf("got %v:\n%s", passed, out)
	}
	bad := Scenario{Name: "bad", Run: func(context.Context, *Env) error { return errors.New("one\ntwo") }}
	if out, passed := run(t, bad, 1); passed || !strings.HasSuffix(out, "\nFAIL bad: one two\n") {
		t.Errorf("got %v:\n%s", passed, out)
	}
}

func TestSeedRepeatsARun(t *testing.T) {
	draw := Scenario{Name: "draw", Run: func(_ context.Context, e *Env) error { e.Measure("drawn", "%d", e.Random.Uint64()); return nil }}
	first, _ := run(t, draw, 7)
	second, _ := run(t, draw, 7)
	other, _ := run(t, draw, 8)
	if first != second {
		t.Errorf("one seed, two runs:\n%s\n%s", first, second)
	}
	if strings.Split(first, "\n")[1] == strings.Split(other, "\n")[1] {
		t.Error("two seeds draw the same")
	}
}
