package wizard

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"ipivs.com/valtctl/repos/textfile"
)

// Edit is one change of a site file: a field gets a value or a list, or goes away.
type Edit struct {
	Field  string // such as hosts[0].address; one more than the last index adds an item
	Value  string
	List   []string // where IsList
	IsList bool
	Remove bool

	verbatim string // already as YAML
}

// Apply makes the edits one after the other. What they are not about stays as it is,
// comments, order and spacing included, and that is proved before the text is returned:
// one that was written in a way that cannot be edited is refused. Encoding, byte order mark
// and ends of lines stay as well.
func Apply(raw []byte, edits []Edit) ([]byte, error) {
	text, form, err := textfile.Decode(raw)
	if err != nil {
		return nil, err
	}
	for _, e := range edits {
		after, err := applyOne(text, e)
		if err == nil {
			err = prove(text, after, e)
		}
		if err != nil {
			return nil, fmt.Errorf("changing %s: %w", e.Field, err)
		}
		text = after
	}
	return form.Encode(text), nil
}

func applyOne(text []byte, e Edit) ([]byte, error) {
	d, err := read(text)
	if err != nil {
		return nil, err
	}
	if e.Remove {
		return d.remove(e.Field)
	}
	if d.root == nil {
		return append(ended(text), block(segments(e.Field), e, 0)...), nil
	}
	// Go down as far as the text goes.
	n, rest, inFlow := d.root, segments(e.Field), closing(d.root) != nil
	for len(rest) > 0 {
		next := child(n, rest[0])
		if p := pairOf(n, rest[0].key); p != nil && empty(p.Value) {
			return d.fill(p, rest[1:], e)
		}
		if next == nil {
			return d.insert(n, rest, e, inFlow)
		}
		n, rest, inFlow = next, rest[1:], inFlow || closing(next) != nil
	}
	if seq, ok := n.(*ast.SequenceNode); ok && e.IsList {
		return d.setItems(seq, e, inFlow)
	}
	from, to, err := d.span(n, inFlow && closing(n) == nil)
	if err != nil {
		return nil, err
	}
	return d.splice(from, to, rendered(e)), nil
}

// prove wants an edit to have done what it says and nothing else.
func prove(before, after []byte, e Edit) error {
	was, err := read(before)
	if err != nil {
		return err
	}
	is, err := read(after)
	if err != nil {
		return fmt.Errorf("%w: %w", errForm, err)
	}
	if !saysSo(is, e) {
		return errForm
	}
	others := func(d *document) map[string]string {
		all := d.flatten()
		maps.DeleteFunc(all, func(path, text string) bool { return below(path, e.Field) || text == "" })
		return all
	}
	if !maps.Equal(others(was), others(is)) {
		return errForm
	}
	if e.Remove || e.IsList {
		return nil // a comment at what goes away goes with it
	}
	left := comments(after)
	for _, c := range comments(before) {
		if !slices.Contains(left, c) {
			return errForm
		}
	}
	return nil
}

func saysSo(d *document, e Edit) bool {
	n := d.find(e.Field)
	switch {
	case e.Remove:
		return n == nil
	case e.IsList:
		return slices.Equal(itemsOf(n), e.List)
	}
	return n != nil && textOf(n) == e.Value
}

// below says that a path is a field or within it.
func below(path, field string) bool {
	rest, ok := strings.CutPrefix(path, field)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func empty(n ast.Node) bool {
	_, ok := n.(*ast.NullNode)
	return ok
}

// splice leaves the text alone where the two places make no sense; prove tells then.
func (d *document) splice(from, to int, text string) []byte {
	if from < 0 || to < from || to > len(d.text) {
		return d.text
	}
	return slices.Concat(d.text[:from], []byte(text), d.text[to:])
}

// ended is the text with an end to its last line.
func ended(text []byte) []byte {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return append(slices.Clone(text), '\n')
	}
	return slices.Clone(text)
}

// after puts whole lines behind a line.
func (d *document) after(line int, lines string) []byte {
	if line >= len(d.lines) {
		return append(ended(d.text), lines...)
	}
	return d.splice(d.lines[line], d.lines[line], lines)
}

// fill gives a key that has no value one, in brackets where it is not a single one.
func (d *document) fill(p *ast.MappingValueNode, rest []segment, e Edit) ([]byte, error) {
	colon := d.at(p.GetToken()) + 1
	return d.splice(colon, colon, " "+flow(rest, e)), nil
}

// insert adds what the text lacks below n, whose first missing part is rest[0].
func (d *document) insert(n ast.Node, rest []segment, e Edit, inFlow bool) ([]byte, error) {
	if end := closing(n); end != nil {
		return d.insertFlow(d.at(end), rest, e), nil
	}
	if seq, ok := n.(*ast.SequenceNode); ok && rest[0].key == "" {
		if rest[0].index != len(seq.Values) {
			return nil, fmt.Errorf("the list has %d items", len(seq.Values))
		}
		start := seq.Start.Position
		return d.after(d.lastLine(start.Line, start.Column-1, true), block(rest, e, start.Column-1)), nil
	}
	all := pairs(n)
	if len(all) == 0 || rest[0].key == "" || inFlow {
		return nil, errForm
	}
	before := predecessor(all, rest[0].key)
	if first := all[0].Key.GetToken().Position; before == nil && first.Column == 1 {
		at := d.lines[d.aboveComments(first.Line)-1]
		return d.splice(at, at, block(rest, e, 0)), nil
	}
	if before == nil {
		before = all[len(all)-1]
	}
	return d.after(d.lastOf(before), block(rest, e, before.Key.GetToken().Position.Column-1)), nil
}

// predecessor is the key behind which a new one goes: the last that the site file's own
// order puts before it.
func predecessor(all []*ast.MappingValueNode, key string) (found *ast.MappingValueNode) {
	best := -1
	for _, p := range all {
		if r := rank(p.Key.GetToken().Value); r <= rank(key) && r >= best {
			best, found = r, p
		}
	}
	return found
}

// aboveComments is the first of the comment lines that stand right above a line.
func (d *document) aboveComments(line int) int {
	for line > 1 && strings.HasPrefix(d.line(line-1), "#") {
		line--
	}
	return line
}

// order is that of the site file's keys.
func order() []string {
	return []string{"site", "name", "ssl", "tls", "release", "registry", "ssh", "hosts", "replaced", "clients", "admins", "beam", "cloud", "firewall", "network", "updates", "checks", "hooks", "backup", "settings",
		"address", "by", "since", "roles", "recordings", "wowza", "cameras"}
}

func rank(key string) int { return slices.Index(order(), key) }

// insertFlow adds before a closing bracket.
func (d *document) insertFlow(end int, rest []segment, e Edit) []byte {
	text := flow(rest, e)
	if rest[0].key != "" {
		text = strings.TrimSuffix(strings.TrimPrefix(text, "{ "), " }")
	} else {
		text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	}
	at := end
	for at > 0 && strings.IndexByte(" \t\r\n", d.text[at-1]) >= 0 {
		at--
	}
	switch d.text[at-1] {
	case '{', '[':
		return d.splice(at, at, text)
	case ',':
		return d.splice(at, at, " "+text)
	}
	return d.splice(at, at, ", "+text)
}

// remove takes a key away, with its lines.
func (d *document) remove(field string) ([]byte, error) {
	parts := segments(field)
	last := parts[len(parts)-1]
	n := d.root
	for _, s := range parts[:len(parts)-1] {
		if n = child(n, s); n == nil {
			return d.text, nil
		}
	}
	p := pairOf(n, last.key)
	if p == nil {
		return d.text, nil
	}
	if up, ok := parent(parts); ok && len(pairs(n)) == 1 {
		return d.remove(up) // a key without values would be a mistake
	}
	if closing(n) != nil {
		return d.removeFlow(n, p)
	}
	from := p.Key.GetToken().Position
	if strings.TrimSpace(d.line(from.Line)[:from.Column-1]) != "" {
		return nil, errForm // the first key of a list's item
	}
	to := d.lastOf(p)
	end := len(d.text)
	if to < len(d.lines) {
		end = d.lines[to]
	}
	return d.splice(d.lines[from.Line-1], end, ""), nil
}

// parent is the key around a field; a list's item is none.
func parent(parts []segment) (string, bool) {
	if len(parts) < 2 || parts[len(parts)-2].key == "" {
		return "", false
	}
	field := ""
	for _, s := range parts[:len(parts)-1] {
		if s.key == "" {
			field += fmt.Sprintf("[%d]", s.index)
			continue
		}
		field = joined(field, s.key)
	}
	return field, true
}

// removeFlow takes a key out of a mapping in brackets, with one comma.
func (d *document) removeFlow(n ast.Node, p *ast.MappingValueNode) ([]byte, error) {
	_, to, err := d.span(p.Value, true)
	if err != nil {
		return nil, err
	}
	from := d.at(p.Key.GetToken())
	all := pairs(n)
	switch i := slices.Index(all, p); {
	case i+1 < len(all):
		to = d.at(all[i+1].Key.GetToken())
	case i > 0:
		_, from, err = d.span(all[i-1].Value, true)
	}
	return d.splice(from, to, ""), err
}

var plainText = regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./@+%-]*$`)

// scalar writes one value, in quotes where it could be read as something else.
func scalar(s string) string {
	switch strings.ToLower(s) {
	case "null", "yes", "no", "y", "n", "on":
		return `"` + s + `"`
	}
	if plainText.MatchString(s) || strings.HasPrefix(s, "~/") && plainText.MatchString(s[1:]) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(s) + `"`
}

// rendered is an edit's value.
func rendered(e Edit) string {
	if e.verbatim != "" {
		return e.verbatim
	}
	if !e.IsList {
		return scalar(e.Value)
	}
	parts := make([]string, len(e.List))
	for i, item := range e.List {
		parts[i] = scalar(item)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// flow writes a value below the keys of rest, in brackets.
func flow(rest []segment, e Edit) string {
	text := rendered(e)
	for _, s := range slices.Backward(rest) {
		if s.key == "" {
			text = "[" + text + "]"
			continue
		}
		text = "{ " + s.key + ": " + text + " }"
	}
	return text
}

// block writes lines for a value below the keys of rest.
func block(rest []segment, e Edit, indent int) string {
	var b strings.Builder
	pad, lead := strings.Repeat(" ", indent), ""
	for i, s := range rest {
		switch {
		case s.key == "":
			lead = "- "
			if i == len(rest)-1 {
				fmt.Fprintf(&b, "%s- %s\n", pad, rendered(e))
			}
			continue
		case i == len(rest)-1:
			fmt.Fprintf(&b, "%s%s%s: %s\n", pad, lead, s.key, rendered(e))
		default:
			fmt.Fprintf(&b, "%s%s%s:\n", pad, lead, s.key)
		}
		pad, lead = pad+strings.Repeat(" ", len(lead))+"  ", ""
	}
	return b.String()
}
