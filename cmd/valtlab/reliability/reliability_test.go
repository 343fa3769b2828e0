package reliability_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/reliability"
	"ipivs.com/valtctl/cmd/valtlab/scenario/cases"
)

// real are this module's inputs.
func real() reliability.Inputs {
	in := reliability.Inputs{Root: filepath.Join("..", "..", "..")}
	for _, s := range cases.All().Scenarios {
		in.Scenarios = append(in.Scenarios, s.Name)
	}
	return in
}

// Whoever renames a test, a scenario or a table that a promise names is told at once, and so is
// whoever writes into the document by hand.
func TestTheDocumentSaysWhatIs(t *testing.T) {
	in := real()
	want, err := in.Text()
	if err != nil {
		t.Fatal(err)
	}
	if !isWritten(t, in, want) {
		t.Errorf("%s is not what is promised and shown: run make reliability", reliability.Document)
	}
}

func isWritten(t *testing.T, in reliability.Inputs, text string) bool {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(in.Root, reliability.Document))
	if err != nil {
		t.Fatal(err)
	}
	return string(got) == text
}

// small is a module with one promise.
func small(t *testing.T, promises string) reliability.Inputs {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"testdata/promises.yaml":         promises,
		"testdata/mutants/sum.mutants":   "package sum\nkill sum\n== a sum has both\nat Of\n- a + b\n+ a\n== and no more\nat Of\n- a + b\n+ a + b + 1\n",
		"testdata/mutants/survivors.txt": "# none\nand no more\n",
		"sum/sum_test.go":                "package sum\n\nfunc TestOf(t *testing.T) {}\n",
		"docs/.keep":                     "",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return reliability.Inputs{Root: root, Scenarios: []string{"rolling", "delta"}}
}

const good = `
- promise: Sums are whole
  means: Both parts count.
  tests: [sum TestOf]
  scenarios: [rolling, delta]
  mistakes: [sum]
  not: [negative numbers]
`

func TestAPromiseThatNothingHoldsIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"a test":     {"TestOf", "TestO", "there is no test sum TestO"},
		"a scenario": {"delta", "deltas", "there is no scenario deltas"},
		"a table":    {"mistakes: [sum]", "mistakes: [sums]", "there is no table of mistakes sums"},
		"no test":    {"tests: [sum TestOf]", "tests: []", "wants words, a meaning and a test"},
		"a key":      {"not:", "nott:", "nott"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := small(t, strings.Replace(good, c.old, c.new, 1)).Text(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("said %v, not %q", err, c.want)
			}
		})
	}
}

func TestTheDocumentTellsWhatWholeRunsShowed(t *testing.T) {
	in := small(t, good)
	said := func(want ...string) {
		t.Helper()
		text, err := in.Text()
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("it lacks %q:\n%s", w, text)
			}
		}
	}
	said("| [Sums are whole](#sums-are-whole) | 1 | 0 of 2 |  |", "mistakes `sum` | not run whole yet", "- negative numbers\n", "`TestOf` | each `make test`", "`delta` | samples alone so far")
	campaign, counts := filepath.Join(in.Root, "campaign.json"), filepath.Join(in.Root, "counts")
	whole := false
	keep := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := in.Keep(campaign, counts, whole, time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
	}
	keep(campaign, `{"seed": 7, "sample": true, "passed": ["delta"]}`)
	said("`delta` | samples alone so far")
	keep(campaign, `{"seed": 7, "passed": ["rolling"]}`)
	whole = true
	keep(counts, `{"dir":"sum","test":"TestOf","times":500,"what":"sums"}`+"\n")
	said("Of 2 mistakes tests noticed 1 (2026-01-02).", "| 1 | 1 of 2 | 1 of 2 |", "mistakes `sum` | 1 of 2 noticed, 2026-01-02", "`rolling` | whole, seed 7, 2026-01-02", "`TestOf` | 500 of 500 sums, 2026-01-02", "`delta` | samples alone so far")
	if err := in.Write(); err != nil {
		t.Fatal(err)
	}
	if text, err := in.Text(); err != nil || !isWritten(t, in, text) {
		t.Errorf("what was just written is another: %v", err)
	}
}
