package site

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/textfile"
)

// source is where a site file comes from.
type source struct {
	name string // as the person gave it
	base string // folder that relative paths start at
	home string // what ~ stands for
	// windows says that paths of the controller are those of Windows.
	windows bool
}

// reader walks a file's syntax tree into typed values. It goes on after a mistake and
// collects all of them.
type reader struct {
	source
	asIs     []string // the file's lines, as they are
	lines    map[string]int
	found    []mistake
	warnings []mistake
}

// mistake is one problem, the field it is about, and the line it is ordered by.
type mistake struct {
	path string
	line int
	err  *problem.Error
}

// value is one node and the path of fields that leads to it: hosts[0].address.
type value struct {
	node ast.Node
	path string
}

// field is one key of a mapping: how its value is read, and, where the key must be
// there, an example to write.
type field struct {
	key  string
	read func(value)
	need string
}

// scalarFunc reads a value's text. Its errors are *wrong.
type scalarFunc[T any] func(string) (T, error)

func newReader(src source) *reader { return &reader{source: src, lines: map[string]int{"": 1}} }

// root parses the YAML text and returns its single document. What an editor did to it is
// told and passed over.
func (r *reader) root(data []byte) (value, bool) {
	text, _, err := textfile.Decode(data)
	r.asIs = strings.Split(string(text), "\n")
	var odd *textfile.Odd
	if errors.As(err, &odd) {
		r.report(odd.Line, "", fmt.Sprintf("column %d: %s", odd.Column, odd.What), textfile.Fix)
	}
	mended, found := slips(string(text))
	for _, s := range found {
		r.report(s.line, "", fmt.Sprintf("column %d: %s", s.column, s.what), s.fix)
	}
	file, err := parser.ParseBytes([]byte(mended), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err, strings.Split(mended, "\n"))
		return value{}, false
	}
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	switch len(docs) {
	case 0:
		r.report(1, "", "the file is empty", "write a site file; valtctl site schema lists its keys")
		return value{}, false
	case 1:
		return value{node: docs[0].Body}, true
	}
	r.report(lineOf(docs[1].Body), "", "a second document starts here", "keep one site in one file, without ---")
	return value{}, false
}

// report adds a mistake. Path is empty for the file as a whole.
func (r *reader) report(line int, path, what, fix string) {
	r.found = append(r.found, mistake{path, line, r.problem(problem.Input, line, path, what, fix)})
}

// at adds a mistake at a field, or at the nearest field around it that the file has.
func (r *reader) at(path, what, fix string) { r.report(nearestLine(r.lines, path), path, what, fix) }

// warn adds a warning at a field.
func (r *reader) warn(path, what, fix string) {
	r.warnOn(nearestLine(r.lines, path), path, what, fix)
}

// warnOn adds a warning about a field that stands on another line, or nowhere.
func (r *reader) warnOn(line int, path, what, fix string) {
	r.warnings = append(r.warnings, mistake{path, line, r.problem(problem.Check, line, path, what, fix)})
}

// sound says that no mistake was found at a field or below it, so that what follows from
// its value is worth saying.
func (r *reader) sound(path string) bool {
	return !slices.ContainsFunc(r.found, func(m mistake) bool { return strings.HasPrefix(m.path, path) })
}

// given says that the file has the field.
func (r *reader) given(path string) bool { return r.lines[path] > 0 }

// emptied says that the file has the field, as a list without items.
func (r *reader) emptied(path string) bool {
	return r.given(path) && !r.given(path+"[0]") && r.sound(path)
}

func (r *reader) problem(kind problem.Kind, line int, path, what, fix string) *problem.Error {
	cause := errors.New(what)
	if path != "" {
		cause = fmt.Errorf("%s: %w", path, cause)
	}
	return &problem.Error{Kind: kind, Doing: "reading", Object: fmt.Sprintf("%s:%d", r.name, line), Err: cause, Fix: fix}
}

// nearestLine is the line of a field, or of the closest field around it.
func nearestLine(lines map[string]int, path string) int {
	for {
		if line, ok := lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
		if path == "" {
			return lines[""]
		}
	}
}

// inOrder sorts mistakes by line and returns their problems.
func inOrder(list []mistake) []*problem.Error {
	slices.SortStableFunc(list, func(a, b mistake) int { return cmp.Compare(a.line, b.line) })
	var all []*problem.Error
	for _, m := range list {
		all = append(all, m.err)
	}
	return all
}

// object reads a mapping's fields in the order of the list, and names keys that the
// list does not have.
func (r *reader) object(v value, fields []field) {
	entries, ok := r.entries(v)
	if !ok {
		return
	}
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	for _, e := range entries {
		if !slices.Contains(known, e.key) {
			r.unknown(e, v.path, known)
		}
	}
	for _, f := range fields {
		i := slices.IndexFunc(entries, func(e entry) bool { return e.key == f.key })
		switch {
		case i >= 0:
			f.read(entries[i].value)
		case f.need != "":
			r.report(nearestLine(r.lines, v.path), join(v.path, f.key), "is missing", "write "+f.need)
		}
	}
}

// entry is one key of a mapping with its value.
type entry struct {
	key   string
	line  int
	value value
}

// entries lists a mapping's keys. A key that stands twice is a mistake; its first value counts.
func (r *reader) entries(v value) ([]entry, bool) {
	var pairs []*ast.MappingValueNode
	switch n := v.node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		r.at(v.path, "is "+kindOf(v.node)+", not keys with values", "write key: value lines, indented below it")
		return nil, false
	}
	var all []entry
	for _, p := range pairs {
		e := entry{key: p.Key.GetToken().Value, line: p.Key.GetToken().Position.Line}
		e.value = value{node: p.Value, path: join(v.path, e.key)}
		if first := slices.IndexFunc(all, func(o entry) bool { return o.key == e.key }); first >= 0 {
			r.report(e.line, e.value.path, fmt.Sprintf("stands twice, first on line %d", all[first].line), "keep one of the two")
			continue
		}
		r.lines[e.value.path] = e.line
		all = append(all, e)
	}
	return all, true
}

func (r *reader) unknown(e entry, in string, known []string) {
	where := in
	if where == "" {
		where = "a site file"
	}
	if file := e.key + "_file"; slices.Contains(known, file) {
		r.report(e.line, e.value.path, "no secret stands in a site file", fmt.Sprintf("put it into a file of its own and write %s: and that file's path", file))
		return
	}
	r.report(e.line, e.value.path, fmt.Sprintf("%s has no key %q", where, e.key),
		fmt.Sprintf("did you mean %q? Its keys are %s", problem.Nearest(e.key, known), strings.Join(known, ", ")))
}

// items lists a sequence's values.
func (r *reader) items(v value) []value {
	seq, ok := v.node.(*ast.SequenceNode)
	if !ok {
		r.notAList(v)
		return nil
	}
	var all []value
	for i, n := range seq.Values {
		item := value{node: n, path: fmt.Sprintf("%s[%d]", v.path, i)}
		r.lines[item.path] = lineOf(n)
		all = append(all, item)
	}
	return all
}

// text is a scalar's text, as it was written.
func (r *reader) text(v value) (string, bool) {
	switch n := v.node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	case *ast.LiteralNode:
		if strings.Contains(n.Value.Value, "PRIVATE KEY") {
			r.at(v.path, "no secret stands in a site file", "put it into a file of its own and write that file's path")
			return "", false
		}
		return strings.TrimSuffix(n.Value.Value, "\n"), true
	case *ast.NullNode:
		r.at(v.path, "has no value", "write one, or leave the key out")
	default:
		if text, ok := colonText(n); ok {
			return text, true
		}
		r.at(v.path, "is "+kindOf(n)+", not one value", "write one value after the colon")
	}
	return "", false
}

// scalar reads one value into the place given.
func scalar[T any](r *reader, into *T, parse scalarFunc[T]) func(value) {
	return func(v value) {
		if got, ok := one(r, v, parse); ok {
			*into = got
		}
	}
}

// list reads a sequence of single values. An empty one is kept apart from an absent one.
func list[T any](r *reader, into *[]T, parse scalarFunc[T]) func(value) {
	return func(v value) {
		all := []T{}
		for _, item := range r.items(v) {
			if got, ok := one(r, item, parse); ok {
				all = append(all, got)
			}
		}
		*into = all
	}
}

func one[T any](r *reader, v value, parse scalarFunc[T]) (T, bool) {
	text, ok := r.text(v)
	if !ok {
		return *new(T), false
	}
	got, err := parse(text)
	if err == nil {
		return got, true
	}
	if plain := unprinted(text); plain != text {
		return oneUnprinted(r, v, text, plain, parse)
	}
	r.wrongAt(v.path, "", err)
	return got, false
}

// oneUnprinted reads a value with something typographic in it as it was meant.
func oneUnprinted[T any](r *reader, v value, text, plain string, parse scalarFunc[T]) (T, bool) {
	for _, meant := range []string{plain, strings.ReplaceAll(plain, " ", "")} {
		if got, err := parse(meant); err == nil {
			r.at(v.path, r.printed(v, text), fmt.Sprintf("write %q, with the keys of the keyboard", meant))
			return got, true
		}
	}
	got, err := parse(plain)
	r.wrongAt(v.path, r.printed(v, text)+", and ", err)
	return got, false
}

// wrongAt adds what a value's parser says, behind what was found before.
func (r *reader) wrongAt(path, before string, err error) {
	var w *wrong
	if !errors.As(err, &w) {
		w = &wrong{what: err.Error()}
	}
	r.at(path, before+w.what, w.fix)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func lineOf(n ast.Node) int {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 1
}

// kindOf names a node for people.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode, nil:
		return "empty"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return "a YAML anchor, alias or tag"
	}
	return "a single value"
}
