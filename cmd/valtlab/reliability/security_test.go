package reliability

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ipivs.com/valtctl/cmd/valtlab/scenario/cases"
)

var (
	quoted   = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`^(Test|Fuzz)[A-Z]`)
)

// docs/security.md promises nothing that no test shows: each of its chapters names one, and all that are
// named are there.
func TestSecurityNamesWhatShowsIt(t *testing.T) {
	in := Inputs{Root: filepath.Join("..", "..", "..")}
	page, err := os.ReadFile(filepath.Join(in.Root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	scenarios := map[string]bool{}
	for _, s := range cases.All().Scenarios {
		scenarios[s.Name] = true
	}
	for _, chapter := range strings.Split(string(page), "\n## ")[1:] {
		title, text, _ := strings.Cut(chapter, "\n")
		named := 0
		folder := ""
		for line := range strings.Lines(text) {
			aboutScenarios := strings.Contains(line, "scenario")
			for _, m := range quoted.FindAllStringSubmatch(line, -1) {
				words := strings.Fields(m[1])
				test := words[len(words)-1]
				switch {
				case testName.MatchString(test):
					if len(words) == 2 {
						folder = words[0]
					}
					named++
					if there, err := in.hasTest(folder + " " + test); err != nil || !there {
						t.Errorf("%s: there is no test %s %s (%v)", title, folder, test, err)
					}
				case aboutScenarios && len(words) == 1 && !scenarios[test]:
					t.Errorf("%s: there is no scenario %s", title, test)
				}
			}
		}
		if named == 0 && !strings.Contains(text, `See "`) {
			t.Errorf("%s: no test shows it", title)
		}
	}
}
