// Package scenario holds the acceptance cases as runnable scenarios: each does to the
// practice site what its name says, measures, and passes or says why not. Scenarios use
// the product only as its users do, by its command line. The list is in list.go.
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
	Run     func(context.Context, *Env) error
	Company company
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
	out    io.Writer
	shared *Shared
}

// Options say how scenarios are run.
type Options struct {
	Seed    uint64
	Count   int
	Valtctl string
	Sample  bool
	Now     func() time.Time
	Out     io.Writer
	Shared  *Shared // of the scenarios of one run; nil: for this one alone
}

// NewEnv is the environment of one run.
func NewEnv(l *lab.Lab, o Options) *Env {
	if o.Shared == nil {
		o.Shared = &Shared{}
	}
	var state string
	if l != nil {
		state = l.Path("state")
	}
	return &Env{
		Lab: l, Count: max(o.Count, 1), Valtctl: o.Valtctl, State: state, Sample: o.Sample, Now: o.Now, out: o.Out, shared: o.Shared,
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

// show is one of several things that a scenario shows, each from whatever is there.
type show struct {
	name string
	run  func(context.Context) error
}

// parts runs all of them, or in a sample one that the seed draws, and times each.
func (e *Env) parts(ctx context.Context, all ...show) error {
	if e.Sample {
		n := e.Random.IntN(len(all))
		all = all[n : n+1]
	}
	for _, p := range all {
		if err := e.Timed(p.name, func() error { return p.run(ctx) }); err != nil {
			return err
		}
	}
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
