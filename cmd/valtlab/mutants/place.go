package mutants

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// Place is where a mutant's old text stands.
type Place struct {
	File string // full path
	Line int
	text []byte // of the file
	from int    // of the old text in it, in bytes
	to   int
}

// Mutated is the file with the mistake.
func (p Place) Mutated(m Mutant) []byte {
	made := append([]byte{}, p.text[:p.from]...)
	made = append(made, m.New...)
	return append(made, p.text[p.to:]...)
}

// Tree finds mutants in the module whose files are below Root. It reads each package once.
type Tree struct {
	Root     string
	packages map[string][]source
}

// source is one file of a package, parsed.
type source struct {
	path string
	text []byte
	set  *token.FileSet
	tree *ast.File
}

// Find finds the one place that a mutant is about. It is an error if there is none, or more.
func (t *Tree) Find(m Mutant) (Place, error) {
	files, err := t.sources(m.Dir)
	if err != nil {
		return Place{}, fmt.Errorf("%s: %q: %w", m.Where, m.Name, err)
	}
	var found []Place
	named := 0
	for _, f := range files {
		for _, node := range f.declared(m.At) {
			named++
			found = append(found, f.places(node, m.Old)...)
		}
	}
	switch {
	case named == 0:
		return Place{}, fmt.Errorf("%s: %q: %s has no %s any more", m.Where, m.Name, m.Dir, m.At)
	case len(found) == 0:
		return Place{}, fmt.Errorf("%s: %q: its old text is not in %s of %s any more", m.Where, m.Name, m.At, m.Dir)
	case len(found) > 1:
		return Place{}, fmt.Errorf("%s: %q: its old text is in %s of %s %d times", m.Where, m.Name, m.At, m.Dir, len(found))
	}
	return found[0], nil
}

// sources parses the files of a package that a host (Linux) has.
func (t *Tree) sources(dir string) ([]source, error) {
	if files, ok := t.packages[dir]; ok {
		return files, nil
	}
	full := filepath.Join(t.Root, filepath.FromSlash(dir))
	names, err := filepath.Glob(filepath.Join(full, "*.go"))
	if err != nil {
		return nil, err
	}
	host := build.Default
	host.GOOS = "linux"
	var files []source
	for _, name := range names {
		fits, err := host.MatchFile(full, filepath.Base(name))
		if err != nil {
			return nil, err
		}
		if !fits || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f := source{path: name, set: token.NewFileSet()}
		if f.text, err = os.ReadFile(name); err != nil {
			return nil, err
		}
		if f.tree, err = parser.ParseFile(f.set, name, f.text, parser.SkipObjectResolution); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no package %s any more", dir)
	}
	if t.packages == nil {
		t.packages = map[string][]source{}
	}
	t.packages[dir] = files
	return files, nil
}

// declared lists the declarations of a name at the top of a file.
func (f source) declared(name string) []ast.Node {
	var found []ast.Node
	for _, d := range f.tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if funcName(d) == name {
				found = append(found, d)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if specNamed(s, name) {
					found = append(found, s)
				}
			}
		}
	}
	return found
}

// funcName is a function's name; a method's with its type: "Writer.put".
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	of := d.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name + "." + d.Name.Name
	}
	return d.Name.Name
}

func specNamed(s ast.Spec, name string) bool {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.Name == name {
				return true
			}
		}
	case *ast.TypeSpec:
		return s.Name.Name == name
	}
	return false
}

// places lists where a text stands inside a declaration. Both are compared without the
// indentation of their lines, so that a text survives being nested deeper.
func (f source) places(node ast.Node, old string) []Place {
	from := f.set.Position(node.Pos()).Offset
	flat, offsets := unindented(f.text[from:f.set.Position(node.End()).Offset])
	var found []Place
	for at := 0; ; {
		i := strings.Index(flat[at:], old)
		if i < 0 {
			return found
		}
		at += i
		p := Place{File: f.path, text: f.text, from: from + offsets[at], to: from + offsets[at+len(old)-1] + 1}
		p.Line = 1 + strings.Count(string(f.text[:p.from]), "\n")
		found = append(found, p)
		at += len(old)
	}
}

// unindented is text without the indentation of its lines, and where each byte was.
func unindented(text []byte) (flat string, offsets []int) {
	var out []byte
	begins := true
	for i, b := range text {
		if begins && (b == '\t' || b == ' ') {
			continue
		}
		begins = b == '\n'
		out = append(out, b)
		offsets = append(offsets, i)
	}
	return string(out), offsets
}
