package mutants

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Code moves and is rewritten: an entry that finds its place no more tests nothing.
func TestEveryMutantOfTheTableStillStandsInOnePlace(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	table := filepath.Join(root, "testdata", "mutants")
	all, err := Read(table)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSurvivors(filepath.Join(table, "survivors.txt"), all); err != nil {
		t.Error(err)
	}
	tree := &Tree{Root: root}
	for _, m := range all {
		if _, err := tree.Find(m); err != nil {
			t.Error(err)
		}
		for _, tests := range m.Tests {
			if found, err := filepath.Glob(filepath.Join(root, tests.Dir, "*_test.go")); err != nil || len(found) == 0 {
				t.Errorf("%s: %q: %s has no tests", m.Where, m.Name, tests.Dir)
			}
		}
	}
}

// Whoever changes what a mutant needs, such as the type of a function, is told at once.
func TestEveryMutantOfTheTableCompiles(t *testing.T) {
	if testing.Short() {
		t.Skip("this is the time of the type checker; make unit runs this without the race detector")
	}
	root := filepath.Join("..", "..", "..")
	all, err := Read(filepath.Join(root, "testdata", "mutants"))
	if err != nil {
		t.Fatal(err)
	}
	c := checker{imports: exports(t, root, all), bare: map[string]*ast.File{}, set: token.NewFileSet()}
	tree := &Tree{Root: root}
	for _, m := range all {
		p, err := tree.Find(m)
		if err != nil {
			continue // the test above says so
		}
		if err := c.check(tree.packages[m.Dir], m, p); err != nil {
			t.Errorf("%s: %q: %v", m.Where, m.Name, err)
		}
	}
}

// checker checks the types of the one file that a mutant is in.
type checker struct {
	imports types.Importer
	set     *token.FileSet
	bare    map[string]*ast.File // the other files, without what functions do
}

func (c *checker) check(files []source, m Mutant, p Place) error {
	made, err := parser.ParseFile(c.set, p.File, p.Mutated(m), parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	all := []*ast.File{made}
	for _, f := range files {
		if f.path == p.File {
			continue
		}
		if c.bare[f.path] == nil {
			if c.bare[f.path], err = parser.ParseFile(c.set, f.path, f.text, parser.SkipObjectResolution); err != nil {
				return err
			}
			for _, d := range c.bare[f.path].Decls {
				if function, ok := d.(*ast.FuncDecl); ok {
					function.Body = nil
				}
			}
		}
		all = append(all, c.bare[f.path])
	}
	var wrong []error
	config := &types.Config{Importer: c.imports, Error: func(err error) {
		if c.set.Position(err.(types.Error).Pos).Filename == p.File {
			wrong = append(wrong, err)
		}
	}}
	_, _ = config.Check(m.Dir, c.set, all, nil) // of the other files nothing is wrong
	return errors.Join(wrong...)
}

// exports is what the packages of a table import, as the compiler keeps it.
func exports(t *testing.T, root string, all []Mutant) types.Importer {
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}
	for _, m := range all {
		args = append(args, "./"+m.Dir)
	}
	list := exec.Command("go", args...)
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("listing what the packages import: %v", err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, fmt.Errorf("nothing imports %s", path)
		}
		return os.Open(files[path])
	})
}

const start = "package sum\nkill sum\n== a sum has both\nat Of\n- a + b\n+ a\n"

func TestWhatIsNoTableIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"word":       {start + "but what\n", `7: "but" is no word`},
		"outside":    {"at Of\n", `1: "at" stands outside of a mutant`},
		"no tests":   {"package sum\n== a\nat Of\n- a\n+ b\n", "no test is named"},
		"no package": {"kill sum\n== a\nat Of\n- a\n+ b\n", "no package"},
		"no change":  {"package sum\nkill sum\n== a\nat Of\n- a\n+ a\n", "changes nothing"},
		"no old":     {"package sum\nkill sum\n== a\nat Of\n+ a\n", "changes nothing"},
		"no new":     {"package sum\nkill sum\n== a\nat Of\n- a\n", "changes nothing"},
		"pattern":    {"kill sum (\n", "missing closing"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse("t.mutants", c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("said %v, not %q", err, c.want)
			}
		})
	}
	folder := module(t, start+start, "")
	if _, err := Read(filepath.Join(folder, "table")); err == nil || !strings.Contains(err.Error(), "t.mutants:3 already") {
		t.Errorf("two of one name: %v", err)
	}
}

func TestAPlaceIsFoundWhereverItIsNestedAndOnlyOnce(t *testing.T) {
	folder := module(t, start, "")
	tree := &Tree{Root: folder}
	for name, c := range map[string]struct {
		at, old, want string
		line          int
	}{
		"in a line":     {at: "Of", old: "a + b", line: 5},
		"several lines": {at: "Counter.Add", old: "if n > 0 {\nc.n += n\n}", line: 11},
		"a constant":    {at: "Most", old: "100", line: 17},
		"gone":          {at: "Of", old: "a * b", want: "is not in Of of sum any more"},
		"twice":         {at: "Counter.Add", old: "n", want: "is in Counter.Add of sum 7 times"},
		"no function":   {at: "Off", old: "a + b", want: "sum has no Off any more"},
		"another's":     {at: "Of", old: "100", want: "is not in Of"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := tree.Find(Mutant{Name: name, Dir: "sum", At: c.at, Old: c.old})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("said %v, not %q", err, c.want)
				}
				return
			}
			if err != nil || p.Line != c.line {
				t.Errorf("line %d, not %d: %v", p.Line, c.line, err)
			}
		})
	}
	if _, err := tree.Find(Mutant{Dir: "gone", At: "Of", Old: "a"}); err == nil || !strings.Contains(err.Error(), "no package gone any more") {
		t.Error(err)
	}
}

// What the one test of the small module does not notice.
const unguarded = "== nothing below zero is counted\nat Counter.Add\n- n > 0\n+ n != 0\n"

func TestARunTellsWhatTestsNotice(t *testing.T) {
	for name, c := range map[string]struct {
		table, known string
		out, errs    []string
	}{
		"as it is known": {start + unguarded, "nothing below zero is counted",
			[]string{"No test notices:\n  sum/sum.go:11  nothing below zero is counted\n", row("sum", 1, 0, 1, 0), row("all", 1, 0, 1, 0)}, nil},
		"not as it is known": {start + unguarded + "== x\nat Of\n- a + b\n+ a + c\n== y\nat Of\n- a - b\n+ a\n== z\nat Of\n- return a + b\n+ for {\n+ }\n",
			"a sum has both", []string{row("all", 1, 1, 1, 2)}, []string{
				"sum/sum.go:11: no test notices any more that this is broken", `"a sum has both" now: take it out of survivors.txt`,
				`"x" is no mutant`, "y\": its old text is not in Of of sum any more"}},
		"failing anyway": {start + "kill sum TestFails\n", "", nil, []string{"without a mistake: killed"}},
		"no such tests":  {start + "kill sum TestNothing\n", "", nil, []string{"without a mistake: invalid"}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := module(t, c.table, c.known)
			var out bytes.Buffer
			err := Run(t.Context(), Options{Root: folder, Table: filepath.Join(folder, "table"), Jobs: 2, Now: time.Now, Out: &out, least: time.Second})
			if (err == nil) != (c.errs == nil) {
				t.Error(err)
			}
			for _, want := range c.errs {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nlacks %q", err, want)
				}
			}
			for _, want := range c.out {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}

// row is a line of the table that a run prints.
func row(name string, killed, timeout, survived, invalid int) string {
	return fmt.Sprintf("\n%-24s %7d %7d %7d %9d %8d\n", name, killed+timeout+survived+invalid, killed, timeout, survived, invalid)
}

func TestWhatARunFoundCanBeKept(t *testing.T) {
	folder := module(t, start+unguarded+"== not tried\nat Most\n- 100\n+ 1\n", "# why\na sum has both\nnot tried")
	var out bytes.Buffer
	tried := func(m Mutant) bool { return m.Name != "not tried" }
	o := Options{Root: folder, Table: filepath.Join(folder, "table"), Choose: tried, Keep: true, Jobs: 2, Now: time.Now, Out: &out}
	if err := Run(t.Context(), o); err != nil {
		t.Error(err)
	}
	kept, err := os.ReadFile(filepath.Join(folder, "table", "survivors.txt"))
	if want := "# why\nnot tried\nnothing below zero is counted\n"; err != nil || string(kept) != want {
		t.Errorf("kept %q, not %q: %v", kept, want, err)
	}
}

// A run that was stopped goes on: what is known counts until the code or its tests change.
func TestARunGoesOnWhereOneStopped(t *testing.T) {
	folder := module(t, start+unguarded, "nothing below zero is counted")
	again := func(change, by string) string {
		t.Helper()
		if change != "" {
			f, err := os.OpenFile(filepath.Join(folder, change), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(by); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		o := Options{Root: folder, Table: filepath.Join(folder, "table"), Memory: filepath.Join(folder, "cache", "mutants.json"), Jobs: 1, Now: time.Now, Out: &out}
		if err := Run(t.Context(), o); err != nil {
			t.Error(err)
		}
		if want := row("all", 1, 0, 1, 0); !strings.Contains(out.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, out.String())
		}
		return out.String()
	}
	const tried = "pass without a mistake"
	for i, c := range []struct {
		change, by string
		tried      bool
	}{
		{"", "", true},
		{"", "", false},
		{"sum/sum.go", "// More.\n", true},
		{"sum/sum_test.go", "// More.\n", true},
	} {
		if out := again(c.change, c.by); strings.Contains(out, tried) != c.tried {
			t.Errorf("run %d, after a change of %q: tried is to be %t:\n%s", i, c.change, c.tried, out)
		}
	}
}

// module makes a module of one package, and a table.
func module(t *testing.T, table, known string) string {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":              "module example.test/sum\n\ngo 1.26\n",
		"table/t.mutants":     table,
		"table/survivors.txt": known + "\n",
		"sum/sum.go": `package sum

// Of adds.
func Of(a, b int) int {
	return a + b
}

type Counter struct{ n int }

func (c *Counter) Add(n int) {
		if n > 0 {
			c.n += n
		}
}

const (
	Most = 100
)
`,
		"sum/sum_test.go": `package sum

import (
	"flag"
	"testing"
)

func TestOf(t *testing.T) {
	if Of(1, 2) != 3 {
		t.Error("not 3")
	}
}

func TestFails(t *testing.T) {
	if flag.Lookup("test.run").Value.String() == "TestFails" {
		t.Error("it always does")
	}
}
`,
	} {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}
