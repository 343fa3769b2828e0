package scenario

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// twelve are two of the core, one that runs elsewhere, and nine others.
func twelve() []Scenario {
	all := []Scenario{{Name: "first", Group: Core}, {Name: "paper", Group: Elsewhere}}
	for n := range 9 {
		all = append(all, Scenario{Name: fmt.Sprintf("other-%d", n)})
	}
	return append(all, Scenario{Name: "last", Group: Core})
}

func TestDrawHasTheCoreAndAQuarterOfTheOthers(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(40) {
		chosen, left := DrawCore(twelve(), seed)
		if len(chosen) != 4 || len(left) != 8 {
			t.Fatalf("seed %d: %s of which not %s", seed, names(chosen), names(left))
		}
		if chosen[0].Name != "first" || chosen[3].Name != "last" || !slices.IsSortedFunc(chosen[1:3], func(a, b Scenario) int { return strings.Compare(a.Name, b.Name) }) {
			t.Fatalf("seed %d: the core or the order is not kept: %s", seed, names(chosen))
		}
		if again, _ := DrawCore(twelve(), seed); names(again) != names(chosen) {
			t.Fatalf("seed %d draws %s and %s", seed, names(chosen), names(again))
		}
		for _, s := range chosen {
			seen[s.Name] = true
		}
	}
	if len(seen) != 11 || seen["paper"] {
		t.Errorf("forty seeds draw %v", seen)
	}
}

func TestDrawHasSomethingOfEveryGroup(t *testing.T) {
	var all []Scenario
	for group, n := range map[Group]int{"one": 1, "seven": 7, "nine": 9} {
		for i := range n {
			all = append(all, Scenario{Name: fmt.Sprintf("%s-%d", group, i), Group: group})
		}
	}
	for seed := range uint64(10) {
		chosen, _ := DrawCore(all, seed)
		has := map[Group]int{}
		for _, s := range chosen {
			has[s.Group]++
		}
		if has["one"] != 1 || has["seven"] != 2 || has["nine"] != 2 {
			t.Errorf("seed %d draws %v", seed, has)
		}
	}
}

func TestDrawIsTold(t *testing.T) {
	var out bytes.Buffer
	chosen, left := DrawCore(twelve()[:3], 7)
	if err := TellDraw(&out, chosen, left, 7); err != nil {
		t.Fatal(err)
	}
	if want := "seed 7 draws 2 of 3 scenarios\n  run: first other-0\n  not run: paper\n"; out.String() != want {
		t.Errorf("told %q, want %q", out.String(), want)
	}
}
