package scenario

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/repos/durable"
)

// Campaign is several scenarios as one run: they share what need not be found out twice,
// and what passed is kept in a file, so that a run that was stopped can go on.
type Campaign struct {
	File string // of what passed; empty: nothing is kept
	// Resume skips what passed with the same build. The seed is the file's then, unless
	// SeedGiven.
	Resume    bool
	SeedGiven bool
	// Leave takes away what scenarios left for each other; nil: nothing.
	Leave func(context.Context, *Env) error
}

// progress is what the file holds.
type progress struct {
	Seed   uint64   `json:"seed"`
	Sample bool     `json:"sample"`
	Count  int      `json:"count"`
	Build  string   `json:"build"` // SHA-256 of the product
	Passed []string `json:"passed"`
}

// same says whether two campaigns ask the same questions of the same product.
func (p progress) same(o progress) bool {
	return p.Seed == o.Seed && p.Sample == o.Sample && p.Count == o.Count && p.Build == o.Build
}

// Run runs the scenarios in order, prints a summary as the last line and tells whether all
// passed. In a sample those that may run beside others do.
func (c Campaign) Run(ctx context.Context, all []Scenario, l *lab.Lab, o Options) (bool, error) {
	now, err := c.begin(&o)
	if err != nil {
		return false, err
	}
	o.GoesOn = true
	fmt.Fprintf(o.Out, "seed %d\n", o.Seed)
	var left []Scenario
	for _, s := range all {
		if slices.Contains(now.Passed, s.Name) {
			fmt.Fprintf(o.Out, "PASS %s (before, with this seed and build)\n", s.Name)
			continue
		}
		left = append(left, s)
	}
	failed := 0
	err = inParallel(ctx, left, l, o, func(s Scenario, passed bool) error {
		if !passed {
			failed++
			return nil
		}
		now.Passed = append(now.Passed, s.Name)
		return c.keep(now)
	})
	if c.Leave != nil {
		err = errors.Join(err, c.Leave(context.WithoutCancel(ctx), NewEnv(l, o)))
	}
	if err != nil {
		return false, err
	}
	summarize(o.Out, len(all)-failed, failed, o.Seed)
	return failed == 0, nil
}

func summarize(out io.Writer, passed, failed int, seed uint64) {
	fmt.Fprintf(out, "seed %d: %d passed, %d failed\n", seed, passed, failed)
}

// begin is the campaign's progress: the file's, where it is to be resumed and is of the
// same questions, or none.
func (c Campaign) begin(o *Options) (progress, error) {
	product, err := os.ReadFile(o.Valtctl)
	if err != nil {
		return progress{}, fmt.Errorf("reading the product: %w", err)
	}
	sum := sha256.Sum256(product)
	now := progress{Seed: o.Seed, Sample: o.Sample, Count: o.Count, Build: hex.EncodeToString(sum[:])}
	if !c.Resume || c.File == "" {
		return now, nil
	}
	text, err := os.ReadFile(c.File)
	if os.IsNotExist(err) {
		return now, nil
	}
	if err != nil {
		return now, fmt.Errorf("reading what passed: %w", err)
	}
	var before progress
	if err := json.Unmarshal(text, &before); err != nil {
		return now, fmt.Errorf("reading %s: %w; remove it to begin anew", c.File, err)
	}
	if !c.SeedGiven {
		now.Seed = before.Seed
	}
	if !now.same(before) {
		now.Seed = o.Seed
		return now, nil
	}
	o.Seed = before.Seed
	return before, nil
}

func (c Campaign) keep(p progress) error {
	if c.File == "" {
		return nil
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("keeping what passed: %w", err)
	}
	return durable.WriteFile(c.File, append(text, '\n'), 0o644)
}
