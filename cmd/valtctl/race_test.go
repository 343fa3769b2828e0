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
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^RACE := ((?:.*\\\n)*.*)$`).FindStringSubmatch(string(makefile))
	if line == nil {
		t.Fatal("the Makefile has no RACE")
	}
	got := strings.Fields(strings.ReplaceAll(line[1], "\\\n", " "))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the Makefile's RACE is\n%s\nand goroutines are started in\n%s", strings.Join(got, " "), strings.Join(want, " "))
	}
}
