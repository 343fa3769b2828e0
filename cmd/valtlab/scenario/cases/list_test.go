package cases

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/scenario"
)

func TestListIsInTheProductsWords(t *testing.T) {
	seen, all := map[string]bool{}, All().Scenarios
	for _, s := range all {
		if !regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)*$`).MatchString(s.Name) || s.Summary == "" || s.Run == nil || seen[s.Name] {
			t.Errorf("scenario %q: its name, its summary or its function is wrong, or it is there twice", s.Name)
		}
		seen[s.Name] = true
	}
	if seen["all"] || seen["core"] {
		t.Error("all and core are words of the command line")
	}
	if _, err := scenario.Find(all, "no-such"); err == nil || !strings.Contains(err.Error(), "lab-sealed") {
		t.Errorf("got %v", err)
	}
}

// TestFleetSimulationNeedsNoLab runs its sample without one, which is why a run of the core
// leaves it to the tests of updater/simulated.
func TestFleetSimulationNeedsNoLab(t *testing.T) {
	s, err := scenario.Find(All().Scenarios, "fleet-simulation")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if s.Group != scenario.Elsewhere || !scenario.Run(t.Context(), s, nil, scenario.Options{Seed: 7, Sample: true, Now: time.Now, Out: &out}) {
		t.Errorf("without a lab it said %s", out.String())
	}
}

// What no seed draws, nobody would run on a change.
func TestEveryScenarioIsDrawnBySomeSeed(t *testing.T) {
	all, drawn := All().Scenarios, map[string]bool{}
	for seed := range uint64(500) {
		chosen, _ := scenario.DrawCore(all, seed)
		for _, s := range chosen {
			drawn[s.Name] = true
		}
	}
	for _, s := range all {
		if !drawn[s.Name] && s.Group != scenario.Elsewhere {
			t.Errorf("no seed draws %s, whose sample takes %s", s.Name, s.Takes)
		}
	}
}
