package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
)

const module = "ipivs.com/valtctl/"

// goFile is one Go file of the repository, parsed.
type goFile struct {
	path string // from the repository's root
	dir  string
	test bool
	tree *ast.File
	set  *token.FileSet
}

// goFiles lists every Go file of the module.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatalf("reading the module: %v", err)
	}
	return all
}

// parsed reads the module once for all tests, as the compiler reads it: with the overlay
// of GOFLAGS, if there is one. Folders named testdata hold none of it.
var parsed = sync.OnceValues(func() ([]goFile, error) {
	var all []goFile
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return nil, err
	}
	over, err := overlay()
	if err != nil {
		return nil, err
	}
	read := func(p, from string) error {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, p, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		all = append(all, goFile{path: rel, dir: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), tree: tree, set: set})
		return err
	}
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != root && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if _, replaced := over[p]; d.IsDir() || replaced || filepath.Ext(p) != ".go" {
			return nil
		}
		return read(p, p)
	})
	for p, from := range over {
		if err == nil {
			err = read(p, from)
		}
	}
	return all, err
})

// overlay is what the go command reads instead of the files of the tree (go help build).
func overlay() (map[string]string, error) {
	for _, f := range strings.Fields(os.Getenv("GOFLAGS")) {
		name, ok := strings.CutPrefix(f, "-overlay=")
		if !ok {
			continue
		}
		var o struct{ Replace map[string]string }
		text, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(text, &o)
		}
		return o.Replace, err
	}
	return nil, nil
}

// imports lists what a file imports; our own packages without the module's name.
func (f goFile) imports(t *testing.T) (ours, others []string) {
	t.Helper()
	for _, spec := range f.tree.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: reading an import: %v", f.path, err)
		}
		if own, ok := strings.CutPrefix(name, module); ok {
			ours = append(ours, own)
		} else {
			others = append(others, name)
		}
	}
	return ours, others
}

// within says that dir is the folder or below it.
func within(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

// Imports run one way: cmd, updater, installer, repos.
func TestImportsRunOneWay(t *testing.T) {
	order := []string{"repos", "installer", "updater", "cmd"}
	layer := func(dir string) int {
		top, _, _ := strings.Cut(dir, "/")
		return slices.Index(order, top)
	}
	for _, f := range goFiles(t) {
		if layer(f.dir) < 0 {
			t.Errorf("%s: Go code belongs below %s", f.path, strings.Join(order, ", "))
		}
		ours, _ := f.imports(t)
		for _, imported := range ours {
			if layer(imported) > layer(f.dir) {
				t.Errorf("%s imports %s, against cmd → updater → installer → repos", f.path, imported)
			}
		}
	}
}

// Some packages promise more than their layer does.
func TestPackagesKeepTheirPromises(t *testing.T) {
	ioPackages := []string{"os", "os/exec", "net", "net/http", "syscall"}
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		ours, others := f.imports(t)
		for _, imported := range ours {
			switch {
			case imported == "repos/publish" && !within(f.dir, "cmd/valtrelease") && !within(f.dir, "cmd/valtlab") && !within(f.dir, "repos/publish"):
				t.Errorf("%s imports repos/publish: no signing code is on a host", f.path)
			case f.dir == "repos/problem":
				t.Errorf("%s imports %s: it lies below everything", f.path, imported)
			case within(f.dir, "installer/remote") && within(imported, "installer") && !within(imported, "installer/remote"):
				t.Errorf("%s imports %s: it gives a connection, and knows no protocol", f.path, imported)
			case f.dir == "installer/site" && within(imported, "installer"):
				t.Errorf("%s imports %s: the site file stands below the rest", f.path, imported)
			}
		}
		pure := []string{"installer/wizard", "installer/network", "installer/plan", "installer/redact", "updater/window"}
		if slices.Contains(pure, f.dir) {
			for _, imported := range others {
				if slices.Contains(ioPackages, imported) {
					t.Errorf("%s imports %s: %s is pure", f.path, imported, f.dir)
				}
			}
		}
	}
}

// The controller's rooms stand on floors: a room knows those that are named with it, and
// those below all of them (the contract of steps, the transaction, the site …) know none.
func TestTheControllersRoomsStandOnFloors(t *testing.T) {
	rooms := map[string][]string{
		"installer/event":    {},
		"installer/fleet":    {"installer/event"},
		"installer/inputs":   {"installer/event"},
		"installer/status":   {"installer/event", "installer/fleet", "installer/inputs"},
		"installer/restrict": {"installer/event", "installer/inputs"},
		"installer":          {"installer/event", "installer/fleet", "installer/inputs"},
	}
	for _, f := range goFiles(t) {
		if f.test || !within(f.dir, "installer") {
			continue
		}
		ours, _ := f.imports(t)
		for _, imported := range ours {
			if _, room := rooms[imported]; room && !slices.Contains(rooms[f.dir], imported) {
				t.Errorf("%s imports %s: an arrow up, or between rooms of one floor", f.path, imported)
			}
		}
	}
}

// The rooms of steps stand in a row: each knows those before it, and the contract knows none.
func TestTheRoomsOfStepsStandInARow(t *testing.T) {
	const contract = "installer/step"
	row := []string{contract, contract + "/files", contract + "/docker", contract + "/database", contract + "/apt", contract + "/system", contract + "/firewall"}
	seen := map[string]bool{}
	for _, f := range goFiles(t) {
		room := slices.Index(row, f.dir)
		if room < 0 {
			continue
		}
		seen[f.dir] = true
		ours, _ := f.imports(t)
		for _, imported := range ours {
			if slices.Index(row, imported) > room {
				t.Errorf("%s imports %s: a room of steps knows only those before it in %s", f.path, imported, strings.Join(row, ", "))
			}
		}
	}
	if len(seen) != len(row) {
		t.Errorf("of the rooms %s there are only %d", strings.Join(row, ", "), len(seen))
	}
}

// A package comment says what, why and what not: that takes two sentences at least.
func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	sentence := regexp.MustCompile(`[.?!](\s|$)`)
	comments := map[string]string{}
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		comments[f.dir] += f.tree.Doc.Text()
	}
	for dir, comment := range comments {
		if n := len(sentence.FindAllString(comment, -1)); n < 2 {
			t.Errorf("%s: its package comment has %d sentences; say what it is for, why, and what it leaves to others", dir, n)
		}
		if want := path.Base(dir); !strings.Contains(comment, want) {
			t.Errorf("%s: its package comment does not name it", dir)
		}
	}
}

// The clock, standard output, the exit and the root of all contexts are cmd's.
func TestOnlyCommandsTouchTheProcess(t *testing.T) {
	forbidden := map[string]string{
		"time.Now": "take a now func() time.Time", "time.Since": "take a now func() time.Time", "time.Until": "take a now func() time.Time",
		"fmt.Print": "hand out events or errors", "fmt.Printf": "hand out events or errors", "fmt.Println": "hand out events or errors",
		"os.Exit": "return an error", "log.Fatal": "return an error", "log.Fatalf": "return an error",
		"context.Background": "take a ctx", "context.TODO": "take a ctx",
	}
	for _, f := range goFiles(t) {
		if f.test || within(f.dir, "cmd") {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			instead, bad := forbidden[pkg.Name+"."+sel.Sel.Name]
			if bad {
				t.Errorf("%s: %s.%s outside cmd: %s", f.set.Position(sel.Pos()), pkg.Name, sel.Sel.Name, instead)
			}
			return true
		})
	}
}

// Every command has a script that runs it.
func TestEveryCommandHasAScript(t *testing.T) {
	scripts := readScripts(t)
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		if c.HasSubCommands() || c.Hidden {
			return
		}
		if !strings.Contains(scripts, c.CommandPath()) {
			t.Errorf("no script in testdata/script runs %q", c.CommandPath())
		}
	}
	visit((&app{}).root())
}
