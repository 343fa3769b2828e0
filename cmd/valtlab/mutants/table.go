// Package mutants takes promises out of the product's code, one at a time, and looks
// whether a test notices: testdata/mutants holds named mistakes as an old and a new text
// inside a function. The tree stays as it is (go test -overlay). It invents no mistakes of
// its own, and it does not judge tests that no mistake of the table is about.
package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Mutant is one mistake that somebody could make.
type Mutant struct {
	Name  string // what is promised, in words: the mistake breaks it
	Where string // the table's file and line
	Dir   string // of the package, from the module's root
	At    string // "function", "Type.method", or the name of a constant, variable or type
	Old   string // what stands there; lines without their indentation
	New   string
	Tests []Tests // that must notice, in the order in which they are run
}

// Tests are tests of one package.
type Tests struct {
	Dir string
	Run string // as -run; empty: all of them
}

// Read reads every *.mutants file of a folder. Names are unique over all of them.
func Read(folder string) ([]Mutant, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.mutants"))
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", folder, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("reading %s: there is no *.mutants file in it", folder)
	}
	var all []Mutant
	seen := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading mutants: %w", err)
		}
		some, err := parse(filepath.Base(file), string(text))
		if err != nil {
			return nil, err
		}
		for _, m := range some {
			if before, twice := seen[m.Name]; twice {
				return nil, fmt.Errorf("reading %s: %q stands at %s already", m.Where, m.Name, before)
			}
			seen[m.Name] = m.Where
		}
		all = append(all, some...)
	}
	return all, nil
}

// parse reads one file of the table:
//
//	# a comment
//	package DIR          of what follows
//	kill DIR [REGEXP]    tests of what follows, all lines together; of one mutant, below it
//
//	== what is promised
//	at FUNCTION
//	- old text
//	+ new text
//
// Old and new may have several lines; "+" alone takes the old text away.
func parse(file, text string) ([]Mutant, error) {
	r := reader{file: file}
	for i, line := range strings.Split(text, "\n") {
		r.line = i + 1
		if err := r.take(line); err != nil {
			return nil, fmt.Errorf("reading %s:%d: %w", file, r.line, err)
		}
	}
	if err := r.finish(); err != nil {
		return nil, fmt.Errorf("reading %s:%d: %w", file, r.line, err)
	}
	return r.all, nil
}

// reader is a file of the table as far as it is read.
type reader struct {
	file  string
	line  int
	dir   string
	tests []Tests
	now   *Mutant // that is being read
	old   []string
	new   []string
	all   []Mutant
}

func (r *reader) take(line string) error {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case word == "" || word == "#":
		return nil
	case word == "==":
		return r.begin(rest)
	case word == "package":
		err := r.finish()
		r.dir, r.tests, r.now = rest, nil, nil
		return err
	case word == "kill":
		return r.kill(rest)
	case r.now == nil:
		return fmt.Errorf("%q stands outside of a mutant", word)
	case word == "at":
		r.now.At = rest
	case word == "-":
		r.old = append(r.old, rest)
	case word == "+":
		r.new = append(r.new, rest)
	default:
		return fmt.Errorf("%q is no word of this table", word)
	}
	return nil
}

func (r *reader) begin(name string) error {
	if err := r.finish(); err != nil {
		return err
	}
	r.now = &Mutant{Name: name, Where: fmt.Sprintf("%s:%d", r.file, r.line), Dir: r.dir}
	r.old, r.new = nil, nil
	return nil
}

func (r *reader) kill(rest string) error {
	dir, run, _ := strings.Cut(rest, " ")
	tests := Tests{Dir: dir, Run: strings.TrimSpace(run)}
	if _, err := regexp.Compile(tests.Run); err != nil {
		return err
	}
	if r.now != nil {
		r.now.Tests = append(r.now.Tests, tests)
		return nil
	}
	r.tests = append(r.tests, tests)
	return nil
}

// finish ends the mutant that is being read, if there is one.
func (r *reader) finish() error {
	if r.now == nil {
		return nil
	}
	m := *r.now
	m.Old, m.New = strings.Join(r.old, "\n"), strings.Join(r.new, "\n")
	if m.Tests == nil {
		m.Tests = slices.Clone(r.tests)
	}
	r.now = nil
	switch {
	case m.Name == "" || m.Dir == "" || m.At == "":
		return fmt.Errorf("the mutant before has no name, no package or no function")
	case m.Old == "" || r.new == nil || m.Old == m.New:
		return fmt.Errorf("the mutant before changes nothing")
	case len(m.Tests) == 0:
		return fmt.Errorf("no test is named that must notice the mutant before")
	}
	r.all = append(r.all, m)
	return nil
}

// ReadSurvivors reads the names of the mutants that no test notices yet: a line each.
func ReadSurvivors(file string, of []Mutant) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the known survivors: %w", err)
	}
	var names []string
	for i, line := range strings.Split(string(text), "\n") {
		name := strings.TrimSpace(line)
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		if !slices.ContainsFunc(of, func(m Mutant) bool { return m.Name == name }) {
			return nil, fmt.Errorf("reading %s:%d: no mutant is named %q", file, i+1, name)
		}
		names = append(names, name)
	}
	return names, nil
}
