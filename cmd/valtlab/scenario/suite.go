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

// Group is what a scenario is about. A run of the core has a quarter of every group, so that
// each kind of thing is tried in each run and all of them take about as long.
type Group string

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

// DrawCore is the core and, of every other group, a quarter that the seed draws, all in their
// order; and what it leaves out. Every scenario of a group is as likely as any other of it,
// so that runs with seeds of their own come by all of them.
func DrawCore(all []Scenario, seed uint64) (chosen, left []Scenario) {
	var order []Group
	members := map[Group][]string{}
	for _, s := range all {
		if len(members[s.Group]) == 0 {
			order = append(order, s.Group)
		}
		members[s.Group] = append(members[s.Group], s.Name)
	}
	random := rand.New(rand.NewPCG(seed, 0x636f7265))
	var drawn []string
	for _, g := range order {
		names := members[g]
		switch g {
		case Core:
			drawn = append(drawn, names...)
		case Elsewhere:
		default:
			random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			drawn = append(drawn, names[:max(1, (len(names)+2)/4)]...) // the nearest to a quarter
		}
	}
	for _, s := range all {
		if slices.Contains(drawn, s.Name) {
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
