// Package testdraw draws at which points a test disturbs what it tests, where every point would
// take too long each time. The draw's seed is printed with a failure and can be given again;
// all points are tried where the whole is asked for. It knows nothing of what is disturbed.
package testdraw

import (
	"encoding/json"
	"errors"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// The environment of a run of tests.
const (
	Seed  = "VALTCTL_TEST_SEED"  // the draw of an earlier run, a decimal number
	Whole = "VALTCTL_TEST_WHOLE" // not empty: nothing is left out
	// Runs is how many of a test's random runs are tried, where neither the few of each time nor
	// the whole is wanted, a decimal number.
	Runs = "VALTCTL_TEST_RUNS"
	// Counts names a file that whole runs add what they tried to.
	Counts = "VALTCTL_TEST_COUNTS"
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

// Times is how many random runs a test tries: few each time, all where the whole is asked for, or as
// many as are asked for.
func Times(t testing.TB, few, all int) int {
	t.Helper()
	if given := os.Getenv(Runs); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil || n < 1 {
			t.Fatalf("reading %s: %q is no number of runs", Runs, given)
		}
		return n
	}
	if IsWhole() {
		return all
	}
	return few
}

// IsWhole says that the points are all there are.
func IsWhole() bool { return os.Getenv(Whole) != "" }

func rising(step func() int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for point := step() - 1; yield(point); point += step() {
		}
	}
}

// count is how often a test has tried what it promises.
type count struct {
	Dir   string `json:"dir"` // of the package, from the module's root
	Test  string `json:"test"`
	Times int    `json:"times"`
	What  string `json:"what"`
}

// Tried adds how often a test has tried what it promises to the file that the environment's Counts names, unless the
// test fails; nothing where it names none, and nothing of a run that is not the whole.
func Tried(t testing.TB, times int, what string) {
	t.Helper()
	file := os.Getenv(Counts)
	if file == "" || !IsWhole() {
		return
	}
	t.Cleanup(func() {
		if !t.Failed() {
			if err := note(file, count{Test: t.Name(), Times: times, What: what}); err != nil {
				t.Error("counting: ", err)
			}
		}
	})
}

func note(file string, c count) error {
	here, err := os.Getwd() // go test runs a package's tests in its folder
	if err != nil {
		return err
	}
	root := here
	for ; root != filepath.Dir(root); root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
	}
	if c.Dir, err = filepath.Rel(root, here); err != nil {
		return err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}
