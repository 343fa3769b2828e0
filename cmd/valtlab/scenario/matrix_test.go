package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

// rehearse runs two scenarios on cells, of which raise says how each comes up, and tells what ran where.
func rehearse(t *testing.T, cells []lab.Bears, dir string, raise func(lab.Bears) error, failing string) (ran []string, passed bool, out string) {
	t.Helper()
	var up lab.Bears
	m := Matrix{
		Cells: cells, Names: []string{"first", "second"},
		Suite: func() Suite {
			var s Suite
			for _, name := range []string{"second", "first", "third"} {
				s.Scenarios = append(s.Scenarios, Scenario{Name: name, Run: func(context.Context, *Env) error {
					what := name + " on " + short(up)
					ran = append(ran, what)
					if what == failing {
						return errors.New("it is broken")
					}
					return nil
				}})
			}
			return s
		},
		Raise: func(_ context.Context, b lab.Bears) error { up = b; return raise(b) },
		Campaign: func(cell string) Campaign {
			return Campaign{File: filepath.Join(dir, cell), Resume: true}
		},
	}
	var text bytes.Buffer
	passed, err := m.Run(t.Context(), nil, Options{Seed: 7, Valtctl: product(t, "a"), Out: &text, Now: func() time.Time { return time.Unix(0, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	return ran, passed, text.String()
}

func comesUp(lab.Bears) error { return nil }

func TestMatrixRunsAllOnEachCellAndPrintsATable(t *testing.T) {
	cells := []lab.Bears{{Ubuntu: "22.04", ImageStore: "graphdriver"}, {Ubuntu: "26.04", Suite: "trixie", ImageStore: "containerd"}}
	dir := t.TempDir()
	ran, passed, out := rehearse(t, cells, dir, comesUp, "second on 22.04 graphdriver")
	want := []string{"first on 22.04 graphdriver", "second on 22.04 graphdriver", "first on 26.04 trixie containerd", "second on 26.04 trixie containerd"}
	if !slices.Equal(ran, want) || passed {
		t.Errorf("ran %q, passed: %v", ran, passed)
	}
	if !strings.HasSuffix(out, "                         first  second\n22.04 graphdriver        PASS   FAIL\n26.04 trixie containerd  PASS   PASS\n") {
		t.Errorf("printed:\n%s", out)
	}
	if ran, passed, _ = rehearse(t, cells, dir, comesUp, ""); !slices.Equal(ran, want[1:2]) || !passed {
		t.Errorf("resumed, it ran %q, passed: %v", ran, passed)
	}
}

// A suite that moves and cannot be built today is no failure, and neither ends the others.
func TestMatrixLeavesOutWhatCannotBeBuiltToday(t *testing.T) {
	moving, err := ubuntu.Find("26.04", ubuntu.Forky)
	if err != nil {
		t.Fatal(err)
	}
	cells := []lab.Bears{{Ubuntu: "26.04", Suite: "forky", ImageStore: "containerd"}, {Ubuntu: "24.04", ImageStore: "graphdriver"}}
	for _, c := range []struct {
		err    error
		passed bool
		say    string
	}{
		{fmt.Errorf("host image: %w", &lab.NotBuiltError{Release: moving, Err: errors.New("libfoo is not installable")}), true, "LEFT OUT Ubuntu 26.04 of forky"},
		{errors.New("host media1 does not boot"), false, "FAIL Ubuntu 26.04 of forky"},
	} {
		ran, passed, out := rehearse(t, cells, t.TempDir(), func(b lab.Bears) error {
			if b.Suite != "" {
				return c.err
			}
			return nil
		}, "")
		if len(ran) != 2 || passed != c.passed || !strings.Contains(out, c.say) || !strings.Contains(out, c.err.Error()) {
			t.Errorf("%v: ran %q, passed: %v:\n%s", c.err, ran, passed, out)
		}
	}
}

func TestMatrixHasAllThatSitesBear(t *testing.T) {
	all := shorts(Cells())
	for _, want := range []string{"22.04 graphdriver", "22.04 containerd", "24.04 graphdriver", "24.04 containerd", "26.04 trixie graphdriver", "26.04 trixie containerd", "26.04 forky containerd"} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is not in %q", want, all)
		}
	}
	for text, want := range map[string]int{"22.04": 2, "26.04 containerd": 2, "forky": 1, "containerd": 4} {
		if got, err := ChooseCells([]string{text}); err != nil || len(got) != want {
			t.Errorf("%q chooses %q, %v", text, shorts(got), err)
		}
	}
	if _, err := ChooseCells([]string{"18.04"}); err == nil || !strings.Contains(err.Error(), "22.04 graphdriver") {
		t.Errorf("18.04: %v", err)
	}
}
