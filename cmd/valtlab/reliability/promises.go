// Package reliability writes docs/reliability.md: what the product promises of a bad day, where
// each promise is tried, and what the last whole runs showed. The promises are
// testdata/promises.yaml; it tries nothing itself, and a promise that names a test, a scenario or
// a table that is not there is an error.
package reliability

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"ipivs.com/valtctl/cmd/valtlab/mutants"
)

// Promise is one of them.
type Promise struct {
	Promise   string   `yaml:"promise"`
	Means     string   `yaml:"means"`
	Tests     []string `yaml:"tests"`     // "package Name"
	Scenarios []string `yaml:"scenarios"` // of the practice site
	Mistakes  []string `yaml:"mistakes"`  // tables of testdata/mutants
	Not       []string `yaml:"not"`       // what is not covered
}

// Inputs are what the document is made of.
type Inputs struct {
	Root      string   // of the module
	Scenarios []string // all that there are
}

// read reads the promises and wants everything that they name to be there.
func (in Inputs) read() ([]Promise, error) {
	text, err := os.ReadFile(filepath.Join(in.Root, "testdata", "promises.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading the promises: %w", err)
	}
	var all []Promise
	if err := yaml.UnmarshalWithOptions(text, &all, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("reading the promises: %w", err)
	}
	var errs []error
	for _, p := range all {
		errs = append(errs, in.judge(p))
	}
	return all, errors.Join(errs...)
}

func (in Inputs) judge(p Promise) error {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("promise %q: "+format, append([]any{p.Promise}, args...)...))
	}
	if p.Promise == "" || p.Means == "" || len(p.Tests) == 0 {
		add("it wants words, a meaning and a test")
	}
	for _, t := range p.Tests {
		if there, err := in.hasTest(t); err != nil || !there {
			add("there is no test %s", t)
		}
	}
	for _, s := range p.Scenarios {
		if !slices.Contains(in.Scenarios, s) {
			add("there is no scenario %s", s)
		}
	}
	for _, m := range p.Mistakes {
		if _, err := os.Stat(filepath.Join(in.table(), m+".mutants")); err != nil {
			add("there is no table of mistakes %s", m)
		}
	}
	return errors.Join(errs...)
}

func (in Inputs) table() string { return filepath.Join(in.Root, "testdata", "mutants") }

// hasTest says whether a package has a test of that name.
func (in Inputs) hasTest(named string) (bool, error) {
	dir, name, _ := strings.Cut(named, " ")
	files, err := filepath.Glob(filepath.Join(in.Root, dir, "*_test.go"))
	if err != nil {
		return false, fmt.Errorf("looking for the tests of %s: %w", dir, err)
	}
	want := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return false, fmt.Errorf("looking for the tests of %s: %w", dir, err)
		}
		if want.Match(text) {
			return true, nil
		}
	}
	return false, nil
}

// mistakes counts by table what is not known to survive; "" is all of them.
func (in Inputs) mistakes(today string) (map[string]Noticed, error) {
	all, err := mutants.Read(in.table())
	if err != nil {
		return nil, err
	}
	known, err := mutants.ReadSurvivors(filepath.Join(in.table(), "survivors.txt"), all)
	if err != nil {
		return nil, err
	}
	count := map[string]Noticed{}
	for _, m := range all {
		table, _, _ := strings.Cut(m.Where, ".mutants:")
		for _, name := range []string{table, ""} {
			n := count[name]
			n.On, n.Of = today, n.Of+1
			if !slices.Contains(known, m.Name) {
				n.Noticed++
			}
			count[name] = n
		}
	}
	return count, nil
}
