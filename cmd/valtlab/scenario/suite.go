package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// Suite is all that there is to run.
type Suite struct {
	Scenarios []Scenario // in the order in which they are listed and run
	// Leave takes away what scenarios left for each other.
	Leave func(context.Context, *Env) error
}

// Group is what a scenario is about. A run of the core draws from the groups in turn, so that
// most kinds of things are tried in each.
type Group string

// DrawnFor is how long what a run of the core draws may take in samples, one after the other
// on two idle cores. It is what is left of ten minutes by the core and the unit tests.
const DrawnFor = 4 * time.Minute

// Groups of which a run of the core has all, or none.
const (
	Core Group = "core"
	// Elsewhere needs no lab, and unit tests do the same.
	Elsewhere Group = "elsewhere"
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

// DrawCore is the core and what the seed draws of the other groups, all in their order; and
// what it leaves out. It draws from the groups in turn for as long as what is drawn takes no
// longer than DrawnFor; runs with seeds of their own come by all scenarios.
func DrawCore(all []Scenario, seed uint64) (chosen, left []Scenario) {
	random := rand.New(rand.NewPCG(seed, 0x636f7265))
	drawn, still := map[string]bool{}, DrawnFor
	for _, s := range inTurn(all, random) {
		if s.Takes <= still {
			drawn[s.Name], still = true, still-s.Takes
		}
	}
	for _, s := range all {
		if s.Group == Core || drawn[s.Name] {
			chosen = append(chosen, s)
		} else {
			left = append(left, s)
		}
	}
	return chosen, left
}

// inTurn shuffles the scenarios that are drawn from: one of each group, and again.
func inTurn(all []Scenario, random *rand.Rand) []Scenario {
	var groups [][]Scenario
	at := map[Group]int{}
	for _, s := range all {
		if s.Group == Core || s.Group == Elsewhere {
			continue
		}
		if _, ok := at[s.Group]; !ok {
			at[s.Group], groups = len(groups), append(groups, nil)
		}
		groups[at[s.Group]] = append(groups[at[s.Group]], s)
	}
	random.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	for _, g := range groups {
		random.Shuffle(len(g), func(i, j int) { g[i], g[j] = g[j], g[i] })
	}
	var order []Scenario
	for more := true; more; {
		more = false
		for i, g := range groups {
			if len(g) > 0 {
				order, groups[i], more = append(order, g[0]), g[1:], true
			}
		}
	}
	return order
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
