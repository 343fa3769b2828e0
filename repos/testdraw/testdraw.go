// Package testdraw draws at which points a test disturbs what it tests, where every point would
// take too long each time. The draw's seed is printed with a failure and can be given again;
// all points are tried where the whole is asked for. It knows nothing of what is disturbed.
package testdraw

import (
	"iter"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// The environment of a run of tests.
const (
	Seed  = "VALTCTL_TEST_SEED"  // the draw of an earlier run, a decimal number
	Whole = "VALTCTL_TEST_WHOLE" // not empty: nothing is left out
)

// apart is how far apart two points are at most; on average it is half of that.
const apart = 4

// Points are points in rising order from 0 on, without an end: the test knows when nothing is
// disturbed any more.
func Points(t testing.TB) iter.Seq[int] {
	t.Helper()
	if os.Getenv(Whole) != "" {
		return rising(func() int { return 1 })
	}
	random := rand.New(rand.NewPCG(Draw(t), 1))
	return rising(func() int { return 1 + random.IntN(apart) })
}

// Draw is the seed of this run: the one that is given, or any. It is told.
func Draw(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64N(1 << 48)
	if given := os.Getenv(Seed); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("reading %s: %v", Seed, err)
		}
	}
	t.Logf("some are drawn: %s=%d draws them again, %s=1 takes all", Seed, seed, Whole)
	return seed
}

// IsWhole says that the points are all there are.
func IsWhole() bool { return os.Getenv(Whole) != "" }

func rising(step func() int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for point := step() - 1; yield(point); point += step() {
		}
	}
}
