package main

import (
	"fmt"
	"strings"
	"testing"

	"ipivs.com/valtctl/cmd/valtlab/scenario"
	"ipivs.com/valtctl/cmd/valtlab/scenario/cases"
)

func TestScenariosAreChosenByWords(t *testing.T) {
	all := cases.All().Scenarios
	drawn, _ := scenario.DrawCore(all, 7)
	for _, c := range []struct {
		words string
		o     runOptions
		want  int    // scenarios
		err   string // a part of it
		told  string // a part of what is printed
	}{
		{"all", runOptions{}, len(all), "", ""},
		{"rolling lab-sealed", runOptions{}, 2, "", ""},
		{"core", runOptions{Options: scenario.Options{Seed: 7}}, len(drawn), "",
			fmt.Sprintf("seed 7 draws %d of %d scenarios\n  run: lab-sealed ", len(drawn), len(all))},
		{"core", runOptions{resume: true}, 0, "goes by the seed", ""},
		{"core rolling", runOptions{}, 0, "there is no scenario core", ""},
		{"rollin", runOptions{}, 0, "there is no scenario rollin", ""},
	} {
		var out strings.Builder
		c.o.Out = &out
		chosen, err := choose(all, strings.Fields(c.words), c.o)
		if len(chosen) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %d scenarios, %v", c.words, len(chosen), err)
		}
		if !strings.HasPrefix(out.String(), c.told) || c.told == "" && out.Len() > 0 {
			t.Errorf("%s: told %q", c.words, out.String())
		}
	}
}
