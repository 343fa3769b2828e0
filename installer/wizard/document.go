package wizard

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"ipivs.com/valtctl/repos/textfile"
)

// document is a site file's text beside its syntax tree. Edits are splices of the text:
// what they do not touch, comments and spacing included, stays byte for byte.
type document struct {
	text  []byte
	lines []int // where each line starts
	root  ast.Node
}

// errForm says that the text cannot be edited by a program.
var errForm = errors.New("its form is not one that can be edited here")

// read is of a text in any form that editors write; the document's own text is UTF-8 with LF.
func read(raw []byte) (*document, error) {
	text, _, err := textfile.Decode(raw)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(text, parser.ParseComments, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, fmt.Errorf("this is not YAML: %w", err)
	}
	d := &document{text: text, lines: []int{0}}
	for i, b := range text {
		if b == '\r' && (i+1 == len(text) || text[i+1] != '\n') {
			return nil, fmt.Errorf("%w: it has a carriage return within a line", errForm)
		}
		if b == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil || isComment(d.Body) })
	switch len(docs) {
	case 0:
	case 1:
		d.root = docs[0].Body
		if pairs(d.root) == nil && !isMapping(d.root) {
			return nil, fmt.Errorf("%w: it does not hold keys with values", errForm)
		}
	default:
		return nil, fmt.Errorf("%w: it holds several documents", errForm)
	}
	return d, nil
}

func isComment(n ast.Node) bool {
	_, ok := n.(*ast.CommentGroupNode)
	return ok
}

func isMapping(n ast.Node) bool {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// pairs lists a mapping's keys with their values.
func pairs(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

func pairOf(n ast.Node, key string) *ast.MappingValueNode {
	for _, p := range pairs(n) {
		if p.Key.GetToken().Value == key {
			return p
		}
	}
	return nil
}

// at is the byte where a token starts.
func (d *document) at(t *token.Token) int { return d.offset(t.Position.Line, t.Position.Column) }

// offset is the byte of a line and column, both from 1; columns count characters.
func (d *document) offset(line, column int) int {
	if line < 1 || line > len(d.lines) {
		return len(d.text)
	}
	at := d.lines[line-1]
	for ; column > 1 && at < len(d.text) && d.text[at] != '\n'; column-- {
		_, size := utf8.DecodeRune(d.text[at:])
		at += size
	}
	return at
}

// line is a line's text, from 1.
func (d *document) line(n int) string {
	if n < 1 || n > len(d.lines) {
		return ""
	}
	start, end := d.lines[n-1], len(d.text)
	if n < len(d.lines) {
		end = d.lines[n] - 1
	}
	return string(d.text[start:end])
}

// lastLine is the last line with content of the block that begins on a line, whose lines
// are indented by more than indent. Comments behind it belong to what follows.
func (d *document) lastLine(first, indent int, sequence bool) int {
	last := first
	for n := first + 1; n <= len(d.lines); n++ {
		text := d.line(n)
		trimmed := strings.TrimLeft(text, " ")
		switch {
		case strings.TrimSpace(trimmed) == "" || strings.HasPrefix(trimmed, "#"):
			continue
		case len(text)-len(trimmed) > indent, sequence && len(text)-len(trimmed) == indent && strings.HasPrefix(trimmed, "-"):
			last = n
			continue
		}
		break
	}
	return last
}

// lastOf is the last line of a key with its value.
func (d *document) lastOf(p *ast.MappingValueNode) int {
	key := p.Key.GetToken().Position
	seq, isSeq := p.Value.(*ast.SequenceNode)
	last := d.lastLine(key.Line, key.Column-1, isSeq && !seq.IsFlowStyle)
	if end := closing(p.Value); end != nil {
		last = max(last, end.Position.Line)
	}
	return last
}

// closing is the bracket that ends a list or mapping in brackets.
func closing(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.SequenceNode:
		if n.IsFlowStyle {
			return n.End
		}
	case *ast.MappingNode:
		if n.IsFlowStyle {
			return n.End
		}
	}
	return nil
}

// span is where a value that is not a block stands. Within brackets a plain value ends at
// the next of theirs.
func (d *document) span(n ast.Node, inFlow bool) (from, to int, err error) {
	from = d.at(n.GetToken())
	if end := closing(n); end != nil {
		return from, d.at(end) + 1, nil
	}
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
	default:
		return 0, 0, errForm
	}
	rest := d.text[from:]
	if len(rest) == 0 {
		return 0, 0, errForm
	}
	if quote := rest[0]; quote == '\'' || quote == '"' {
		return from, from + quoted(rest, quote), nil
	}
	return from, from + bare(rest, inFlow), nil
}

// quoted is the length of a value in quotes.
func quoted(text []byte, quote byte) int {
	for i := 1; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\':
			i++
		case text[i] != quote:
		case quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return len(text)
}

// bare is the length of a value without quotes.
func bare(text []byte, inFlow bool) int {
	end := 0
	for i, b := range text {
		if b == '\n' || b == '\r' || b == '#' && i > 0 && (text[i-1] == ' ' || text[i-1] == '\t') || inFlow && strings.IndexByte(",]}", b) >= 0 {
			break
		}
		if b != ' ' && b != '\t' {
			end = i + 1
		}
	}
	return end
}

// segment is one step of a field's path: a key, or an index where key is empty.
type segment struct {
	key   string
	index int
}

var pathPart = regexp.MustCompile(`([^.\[\]]+)|\[(\d+)\]`)

// segments takes hosts[0].address apart.
func segments(field string) []segment {
	var all []segment
	for _, m := range pathPart.FindAllStringSubmatch(field, -1) {
		if m[2] == "" {
			all = append(all, segment{key: m[1]})
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			n = -1 // no list is that long
		}
		all = append(all, segment{index: n})
	}
	return all
}

// find is the value of a field; nil where the text has none.
func (d *document) find(field string) ast.Node {
	n := d.root
	for _, s := range segments(field) {
		if n = child(n, s); n == nil {
			return nil
		}
	}
	return n
}

func child(n ast.Node, s segment) ast.Node {
	if s.key != "" {
		if p := pairOf(n, s.key); p != nil {
			return p.Value
		}
		return nil
	}
	if seq, ok := n.(*ast.SequenceNode); ok && s.index >= 0 && s.index < len(seq.Values) {
		return seq.Values[s.index]
	}
	return nil
}

// textOf is a single value as it was written.
func textOf(n ast.Node) string {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return ""
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return strings.TrimSuffix(n.Value.Value, "\n")
	}
	return n.GetToken().Value
}

// itemsOf are a list's items; of a mapping, such as a camera with ports of its own, the
// address stands for it.
func itemsOf(n ast.Node) []string {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil
	}
	var all []string
	for _, v := range seq.Values {
		all = append(all, itemText(v))
	}
	return all
}

func itemText(n ast.Node) string {
	if isMapping(n) {
		if p := pairOf(n, "address"); p != nil {
			return textOf(p.Value)
		}
	}
	return textOf(n)
}

// flatten lists every single value of the text by its path.
func (d *document) flatten() map[string]string {
	all := map[string]string{}
	var walk func(n ast.Node, path string)
	walk = func(n ast.Node, path string) {
		if isMapping(n) {
			for _, p := range pairs(n) {
				walk(p.Value, joined(path, p.Key.GetToken().Value))
			}
			return
		}
		if seq, ok := n.(*ast.SequenceNode); ok {
			for i, v := range seq.Values {
				walk(v, fmt.Sprintf("%s[%d]", path, i))
			}
			return
		}
		all[path] = textOf(n)
	}
	walk(d.root, "")
	return all
}

func joined(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// comments lists the text's comments.
func comments(text []byte) []string {
	var all []string
	for _, t := range lexer.Tokenize(string(text)) {
		if t.Type == token.CommentType {
			all = append(all, strings.TrimSpace(t.Value))
		}
	}
	return all
}
