package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Verdict is what became of a mutant.
type Verdict string

// The verdicts.
const (
	Killed   Verdict = "killed"
	TimedOut Verdict = "timeout"  // its tests did not end: noticed, too
	Survived Verdict = "survived" // the tests that must notice passed
	Invalid  Verdict = "invalid"  // it does not compile, or stands nowhere: an error of the table
)

// noticed says that a test told.
func (v Verdict) noticed() bool { return v == Killed || v == TimedOut }

// Options are what a run is given.
type Options struct {
	Root   string // of the module
	Table  string // folder of the table
	Choose func(Mutant) bool
	Keep   bool   // what survives becomes what is known to survive
	Jobs   int    // mutants at a time
	Memory string // file of what became of mutants before; empty: all are tried, and nothing is kept
	Now    func() time.Time
	Out    io.Writer

	least time.Duration // that tests with a mistake may take; 0: leastLimit
}

// Times: tests without mistakes may take firstLimit; with one a few times what that took,
// and leastLimit at least.
const (
	firstLimit = 10 * time.Minute
	leastLimit = 2 * time.Minute
	slower     = 4
)

// outcome is one mutant's part of a run.
type outcome struct {
	mutant  Mutant
	place   Place
	verdict Verdict
	said    string // why it is invalid, or which tests noticed
	took    time.Duration
}

// run is one run under way.
type run struct {
	Options
	scratch  string
	mu       sync.Mutex
	baseline map[Tests]time.Duration
	memory   *memory
	done     int
	total    int
}

// Run tries every chosen mutant and prints what became of each. The error says what is not
// as the table and the list of known survivors have it.
func Run(ctx context.Context, o Options) error {
	began := o.Now()
	all, err := Read(o.Table)
	if err != nil {
		return err
	}
	known, err := ReadSurvivors(filepath.Join(o.Table, "survivors.txt"), all)
	if err != nil {
		return err
	}
	if o.least == 0 {
		o.least = leastLimit
	}
	if o.Choose != nil {
		all = slices.DeleteFunc(all, func(m Mutant) bool { return !o.Choose(m) })
	}
	scratch, err := os.MkdirTemp("", "valtlab-mutants-")
	if err != nil {
		return fmt.Errorf("making a folder for mutants: %w", err)
	}
	defer os.RemoveAll(scratch)
	r := &run{Options: o, scratch: scratch, baseline: map[Tests]time.Duration{}, total: len(all)}
	if r.memory, err = remember(o.Memory); err != nil {
		return err
	}
	outcomes, err := r.everything(ctx, all, known)
	if err != nil {
		return err
	}
	r.report(outcomes, o.Now().Sub(began))
	if o.Keep {
		known, err = keep(filepath.Join(o.Table, "survivors.txt"), outcomes)
	}
	return errors.Join(err, r.verdict(outcomes, known))
}

// everything proves the tests and then tries the mutants.
func (r *run) everything(ctx context.Context, all []Mutant, known []string) ([]outcome, error) {
	outcomes := make([]outcome, len(all))
	tree := &Tree{Root: r.Root}
	for i, m := range all {
		outcomes[i].mutant = m
		var err error
		if outcomes[i].place, err = tree.Find(m); err != nil {
			outcomes[i].verdict, outcomes[i].said = Invalid, err.Error()
		}
	}
	if err := r.recall(outcomes); err != nil {
		return nil, err
	}
	if err := r.prove(ctx, wanted(outcomes)); err != nil {
		return nil, err
	}
	var g errgroup.Group
	g.SetLimit(max(1, r.Jobs))
	for i := range outcomes {
		g.Go(func() error {
			o := &outcomes[i]
			if o.verdict == "" {
				r.try(ctx, i, o)
				if o.verdict.noticed() && slices.Contains(known, o.mutant.Name) {
					r.try(ctx, i, o) // once more, before a busy machine is taken for a better test
				}
			}
			if err := ctx.Err(); err != nil { // its verdict is the interruption's
				return err
			}
			r.tell(*o)
			return r.memory.keep(*o)
		})
	}
	return outcomes, g.Wait()
}

// recall gives mutants the verdicts of earlier runs that still count.
func (r *run) recall(outcomes []outcome) error {
	if err := r.memory.look(r.Root, wanted(outcomes)); err != nil {
		return err
	}
	for i := range outcomes {
		if o := &outcomes[i]; o.verdict == "" {
			o.verdict = r.memory.before(*o)
		}
	}
	return nil
}

// wanted are the tests of those mutants that have no verdict yet.
func wanted(outcomes []outcome) []Tests {
	var all []Tests
	for _, o := range outcomes {
		for _, t := range o.mutant.Tests {
			if o.verdict == "" && !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	return all
}

// prove runs the tests without a mistake: a test that fails anyway notices nothing.
func (r *run) prove(ctx context.Context, wanted []Tests) error {
	for i, t := range wanted {
		began := r.Now()
		verdict, out := r.test(ctx, t, firstLimit, "")
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if verdict != Survived {
			return fmt.Errorf("testing %s %s without a mistake: %s:\n%s", t.Dir, t.Run, verdict, tail(out))
		}
		r.baseline[t] = r.Now().Sub(began)
		fmt.Fprintf(r.Out, "[%d/%d] pass without a mistake  %5.1fs  %s %s\n", i+1, len(wanted), r.baseline[t].Seconds(), t.Dir, t.Run)
	}
	return nil
}

// try makes the mistake and runs the tests that must notice, until one does.
func (r *run) try(ctx context.Context, i int, o *outcome) {
	began := r.Now()
	defer func() { o.took = r.Now().Sub(began) }()
	overlay, err := r.overlay(i, *o)
	if err != nil {
		o.verdict, o.said = Invalid, err.Error()
		return
	}
	for _, t := range o.mutant.Tests {
		limit := max(r.least, slower*r.baseline[t])
		verdict, out := r.test(ctx, t, limit, overlay)
		o.verdict, o.said = verdict, t.Dir
		if verdict == Invalid {
			o.said = tail(out)
		}
		if verdict != Survived {
			return
		}
	}
}

// overlay writes what go(1) reads instead of the file with the old text.
func (r *run) overlay(i int, o outcome) (string, error) {
	mutated := filepath.Join(r.scratch, fmt.Sprintf("%d.go", i))
	if err := os.WriteFile(mutated, o.place.Mutated(o.mutant), 0o600); err != nil {
		return "", fmt.Errorf("writing a mutant: %w", err)
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {o.place.File: mutated}})
	if err != nil {
		return "", fmt.Errorf("writing an overlay: %w", err)
	}
	file := filepath.Join(r.scratch, fmt.Sprintf("%d.json", i))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", fmt.Errorf("writing an overlay: %w", err)
	}
	return file, nil
}

// test runs tests, with an overlay or none. Survived means that they passed.
func (r *run) test(ctx context.Context, t Tests, limit time.Duration, overlay string) (Verdict, []byte) {
	// The compiler has its time, too; go test's own limit ends the tests with their stacks.
	bounded, cancel := context.WithTimeout(ctx, limit+firstLimit)
	defer cancel()
	args := []string{"test", "-count=1", "-failfast", "-vet=off", "-ldflags=-s -w", "-timeout=" + limit.String()}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	if t.Run != "" {
		args = append(args, "-run="+t.Run)
	}
	cmd := exec.CommandContext(bounded, "go", append(args, "./"+t.Dir)...)
	cmd.Dir = r.Root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil && bytes.Contains(out, []byte("[no tests to run]")):
		return Invalid, out
	case err == nil:
		return Survived, out
	case bounded.Err() != nil, bytes.Contains(out, []byte("panic: test timed out after")):
		return TimedOut, out
	case !errors.As(err, &exit):
		return Invalid, append(out, err.Error()...)
	case bytes.Contains(out, []byte("[build failed]")), bytes.Contains(out, []byte("[setup failed]")):
		return Invalid, out
	}
	return Killed, out
}

// tail is the end of what a program said.
func tail(out []byte) string {
	const most = 2000
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return string(bytes.TrimSpace(out))
}
