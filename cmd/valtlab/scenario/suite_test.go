package scenario

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// twelve are two of the core, one that runs elsewhere, and nine others of three groups, of
// which the last takes all the time that there is.
func twelve() []Scenario {
	all := []Scenario{{Name: "first", Group: Core, Takes: time.Hour}, {Name: "paper", Group: Elsewhere}}
	for n := range 9 {
		all = append(all, Scenario{Name: fmt.Sprintf("other-%d", n), Group: Group(fmt.Sprint(n % 3)), Takes: DrawnFor / 4})
	}
	all[len(all)-1].Takes = DrawnFor
	return append(all, Scenario{Name: "last", Group: Core})
}

func TestDrawHasTheCoreAndWhatFitsOfTheOthers(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(80) {
		chosen, left := DrawCore(twelve(), seed)
		others := chosen[1 : len(chosen)-1]
		if chosen[0].Name != "first" || chosen[len(chosen)-1].Name != "last" || len(chosen)+len(left) != 12 ||
			!slices.IsSortedFunc(others, func(a, b Scenario) int { return strings.Compare(a.Name, b.Name) }) {
			t.Fatalf("seed %d: the core or the order is not kept: %s of which not %s", seed, names(chosen), names(left))
		}
		var takes time.Duration
		groups := map[Group]bool{}
		for _, s := range others {
			takes, groups[s.Group], seen[s.Name] = takes+s.Takes, true, true
		}
		if takes != DrawnFor || len(others) == 4 && len(groups) < 2 {
			t.Errorf("seed %d: %s take %s of %s, of %d groups", seed, names(others), takes, DrawnFor, len(groups))
		}
		if again, _ := DrawCore(twelve(), seed); names(again) != names(chosen) {
			t.Fatalf("seed %d draws %s and %s", seed, names(chosen), names(again))
		}
	}
	if len(seen) != 9 || seen["paper"] {
		t.Errorf("eighty seeds draw %v", seen)
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
