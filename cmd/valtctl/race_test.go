package main

import (
	"go/ast"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// make unit runs the race detector where goroutines are started: by a go statement, or by a
// call of a method named Go, as sync.WaitGroup and errgroup.Group have it, or of what does a job
// for all hosts at once (fleet.Each). Those of a package without tests run in the tests of the packages that import it.
func TestTheRaceDetectorRunsWhereGoroutinesAreStarted(t *testing.T) {
	starting, tested, importers := map[string]bool{}, map[string]bool{}, map[string][]string{}
	for _, f := range goFiles(t) {
		if f.test {
			tested[f.dir] = true
			continue
		}
		ours, _ := f.imports(t)
		for _, imported := range ours {
			importers[imported] = append(importers[imported], f.dir)
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				starting[f.dir] = true
			case *ast.CallExpr:
				if called, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Go", "Each", "EachOf"}, called.Sel.Name) {
					starting[f.dir] = true
				}
			}
			return true
		})
	}
	for dir := range maps.Clone(starting) {
		for _, importer := range importers[dir] {
			if !tested[dir] {
				starting[importer] = true
			}
		}
	}
	maps.DeleteFunc(starting, func(dir string, _ bool) bool { return !tested[dir] })
	want := slices.Sorted(maps.Keys(starting))
	got := listed(t, "RACE")
	if !slices.Equal(got, want) {
		t.Errorf("the Makefile's RACE is\n%s\nand goroutines are started in\n%s", strings.Join(got, " "), strings.Join(want, " "))
	}
}

// listed are the words of a list of the Makefile, sorted.
func listed(t *testing.T, name string) []string {
	t.Helper()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^` + name + ` := ((?:.*\\\n)*.*)$`).FindStringSubmatch(string(makefile))
	if line == nil {
		t.Fatalf("the Makefile has no %s", name)
	}
	words := strings.Fields(strings.ReplaceAll(line[1], "\\\n", " "))
	slices.Sort(words)
	return words
}

// What make unit runs with the race detector alone, it runs with -short: a test that is
// skipped then has to run in a package that is tested without the race detector too.
func TestWhatIsSkippedWithTheRaceDetectorRunsWithoutIt(t *testing.T) {
	raced, want := listed(t, "RACE"), map[string]bool{}
	for _, f := range goFiles(t) {
		if !f.test || !slices.Contains(raced, f.dir) {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if called, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"Short", "NewChroot"}, called.Sel.Name) {
				want[f.dir] = true
			}
			return true
		})
	}
	if got := listed(t, "ALONE"); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("the Makefile's ALONE is %s, and tests are skipped with -short in %s", got, slices.Sorted(maps.Keys(want)))
	}
}
