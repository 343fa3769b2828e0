// Package scenario runs acceptance cases on the practice site: one by one or as a campaign,
// whole or as quick samples, in an order and with a seed that repeat a run. What a case does
// and measures is in the package cases; here is what all of them are run with.
package scenario

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// Scenario is one acceptance case. Its Name is in the product's words, as on a command
// line: lower case, hyphens.
type Scenario struct {
	Name    string
	Summary string // one line
	// Run returns nil when the case holds. The lab is up when it is called; it leaves
	// the lab usable, not necessarily bare.
	Run      func(context.Context, *Env) error
	Parallel Parallel
	Group    Group
	// Takes is how long a sample takes on two idle cores, about. Draws count with it.
	Takes time.Duration
}

// Env is what a scenario works with.
type Env struct {
	Lab *lab.Lab
	// Random decides everything that varies, so that a seed repeats a run.
	Random *rand.Rand
	// Count is how many times a case with variants is to be tried, at least 1.
	Count int
	// Valtctl is the path of the product's binary.
	Valtctl string
	// State is the product's state folder as a controller. It is the lab's own, so that
	// it goes with the lab.
	State string
	// Sample wants one quick variant, which disturbs one host where a whole run disturbs all.
	Sample bool
	Now    func() time.Time
	// GoesOn says that scenarios of the same run may come after this one, and use what it
	// leaves.
	GoesOn bool
	out    io.Writer
}

// Options say how scenarios are run.
type Options struct {
	Seed    uint64
	Count   int
	Valtctl string
	Sample  bool
	Now     func() time.Time
	Out     io.Writer
	GoesOn  bool
}

// NewEnv is the environment of one run.
func NewEnv(l *lab.Lab, o Options) *Env {
	var state string
	if l != nil {
		state = l.Path("state")
	}
	return &Env{
		Lab: l, Count: max(o.Count, 1), Valtctl: o.Valtctl, State: state, Sample: o.Sample, Now: o.Now, GoesOn: o.GoesOn, out: o.Out,
		Random: rand.New(rand.NewPCG(o.Seed, 0x76616c74)),
	}
}

// Measure prints one thing that was measured, such as Measure("reboot", "3.2 s").
func (e *Env) Measure(name, format string, args ...any) {
	fmt.Fprintf(e.out, "  %s: %s\n", name, fmt.Sprintf(format, args...))
}

// Timed runs a part of the scenario and prints how long it took.
func (e *Env) Timed(name string, run func() error) error {
	start := e.Now()
	if err := run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	e.Measure(name, "%.2f s", e.Now().Sub(start).Seconds())
	return nil
}

// Run runs one scenario and prints its verdict as the last line. It tells whether the
// scenario passed.
func Run(ctx context.Context, s Scenario, l *lab.Lab, o Options) bool {
	fmt.Fprintf(o.Out, "%s: %s (seed %d, count %d)\n", s.Name, s.Summary, o.Seed, max(o.Count, 1))
	start := o.Now()
	err := s.Run(ctx, NewEnv(l, o))
	fmt.Fprintf(o.Out, "  took: %.1f s\n", o.Now().Sub(start).Seconds())
	if err != nil {
		fmt.Fprintf(o.Out, "FAIL %s: %v\n", s.Name, oneLine(err))
		return false
	}
	fmt.Fprintf(o.Out, "PASS %s\n", s.Name)
	return true
}
