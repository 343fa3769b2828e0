package testdraw

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// first are the first n points.
func first(t *testing.T, n int) []int {
	t.Helper()
	var all []int
	for p := range Points(t) {
		if all = append(all, p); len(all) == n {
			break
		}
	}
	return all
}

func TestASeedDrawsTheSamePointsAgain(t *testing.T) {
	t.Setenv(Whole, "")
	t.Setenv(Seed, "7")
	one, again := first(t, 200), first(t, 200)
	if !slices.Equal(one, again) {
		t.Errorf("%v and then %v", one, again)
	}
	for i := 1; i < len(one); i++ {
		if d := one[i] - one[i-1]; d < 1 || d > apart {
			t.Fatalf("from %d to %d", one[i-1], one[i])
		}
	}
	t.Setenv(Seed, "8")
	if slices.Equal(one, first(t, 200)) {
		t.Error("another seed draws the same")
	}
}

// TestEveryPointIsDrawnByAndBy: none is left out for good, the first neither.
func TestEveryPointIsDrawnByAndBy(t *testing.T) {
	t.Setenv(Whole, "")
	t.Setenv(Seed, "")
	drawn := map[int]bool{}
	for range 200 {
		for _, p := range first(t, 8) {
			drawn[p] = true
		}
	}
	for p := range 8 {
		if !drawn[p] {
			t.Errorf("%d is never drawn", p)
		}
	}
}

func TestTheWholeIsEveryPoint(t *testing.T) {
	t.Setenv(Whole, "1")
	if got := first(t, 5); !IsWhole() || !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
		t.Error(got)
	}
}

func TestAsManyRunsAreTriedAsAreAskedFor(t *testing.T) {
	for _, c := range []struct {
		whole, runs string
		want        int
	}{{"", "", 8}, {"1", "", 10000}, {"", "1000", 1000}, {"1", "300", 300}} {
		t.Setenv(Whole, c.whole)
		t.Setenv(Runs, c.runs)
		if got := Times(t, 8, 10000); got != c.want {
			t.Errorf("with %q and %q %d are tried, not %d", c.whole, c.runs, got, c.want)
		}
	}
}

// TestOnlyAWholeRunThatPassedIsCounted: what is published must have been tried.
func TestOnlyAWholeRunThatPassedIsCounted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "counts")
	t.Setenv(Counts, file)
	t.Setenv(Whole, "")
	t.Run("drawn", func(t *testing.T) { Tried(t, 5, "points") })
	if _, err := os.Stat(file); err == nil {
		t.Error("a run that drew some is counted")
	}
	t.Setenv(Whole, "1")
	t.Run("whole", func(t *testing.T) { Tried(t, 5, "points") })
	text, err := os.ReadFile(file)
	if want := `{"dir":"repos/testdraw","test":"TestOnlyAWholeRunThatPassedIsCounted/whole","times":5,"what":"points"}` + "\n"; err != nil || string(text) != want {
		t.Errorf("counted %q, not %q: %v", text, want, err)
	}
}
