package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
)

// Suite is all that there is to run.
type Suite struct {
	Scenarios []Scenario // in the order in which they are listed and run
	// Leave takes away what scenarios left for each other.
	Leave func(context.Context, *Env) error
}

// Turn says when a scenario is part of a run of the core.
type Turn int

const (
	// Drawn is one of which the seed draws a third.
	Drawn Turn = iota
	// Core is one that always is.
	Core
	// Elsewhere is one that never is: it needs no lab, and a unit test does the same.
	Elsewhere
)

// Find is the scenario of that name.
func Find(all []Scenario, name string) (Scenario, error) {
	var names []string
	for _, s := range all {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("there is no scenario %s; there are %s", name, strings.Join(names, ", "))
}

// DrawCore is the core and, of the others, a third that the seed draws, in their order;
// and what it leaves out. Every scenario of the third is as likely as any other, so that
// runs with seeds of their own come by all of them.
func DrawCore(all []Scenario, seed uint64) (chosen, left []Scenario) {
	var others []string
	for _, s := range all {
		if s.Turn == Drawn {
			others = append(others, s.Name)
		}
	}
	random := rand.New(rand.NewPCG(seed, 0x636f7265))
	random.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	drawn := others[:(len(others)+2)/3]
	for _, s := range all {
		if s.Turn == Core || slices.Contains(drawn, s.Name) {
			chosen = append(chosen, s)
		} else {
			left = append(left, s)
		}
	}
	return chosen, left
}

// TellDraw prints what runs and what does not, so that a run says what it did not show.
func TellDraw(out io.Writer, chosen, left []Scenario, seed uint64) error {
	_, err := fmt.Fprintf(out, "seed %d draws %d of %d scenarios\n  run: %s\n  not run: %s\n", seed, len(chosen), len(chosen)+len(left), names(chosen), names(left))
	if err != nil {
		return fmt.Errorf("telling what is run: %w", err)
	}
	return nil
}

func names(all []Scenario) string {
	var list []string
	for _, s := range all {
		list = append(list, s.Name)
	}
	return strings.Join(list, " ")
}

// oneLine keeps a verdict on one line, whatever an error holds.
func oneLine(err error) error {
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}
