package wizard

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// setItems makes a list the one of the edit. Items that stay keep their own text, so that
// a camera with a name or ports of its own keeps them.
func (d *document) setItems(seq *ast.SequenceNode, e Edit, inFlow bool) ([]byte, error) {
	if seq.IsFlowStyle {
		return d.setFlowItems(seq, e)
	}
	if inFlow {
		return nil, errForm
	}
	has := itemsOf(seq)
	column := seq.Start.Position.Column
	lines := strings.SplitAfter(string(d.text), "\n")
	first := seq.Start.Position.Line
	end := first
	for i := range seq.Values {
		line := d.itemLine(seq, i)
		to := d.lastLine(line, column-1, false)
		end = max(end, to)
		if !slices.Contains(e.List, has[i]) {
			for n := line; n <= to; n++ {
				lines[n-1] = ""
			}
		}
	}
	var added strings.Builder
	for _, item := range e.List {
		if !slices.Contains(has, item) {
			added.WriteString(strings.Repeat(" ", column-1) + "- " + scalar(item) + "\n")
		}
	}
	if end == len(lines) && added.Len() > 0 && lines[end-1] != "" {
		lines[end-1] = string(ended([]byte(lines[end-1])))
	}
	return []byte(strings.Join(lines[:end], "") + added.String() + strings.Join(lines[end:], "")), nil
}

// itemLine is the line of an item's dash.
func (d *document) itemLine(seq *ast.SequenceNode, i int) int {
	n := seq.Values[i]
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && closing(n) == nil {
		n = m.Values[0].Key
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	return n.GetToken().Position.Line
}

// setFlowItems writes a list in brackets anew; with comments between its items, or over
// several lines, only if nothing goes away.
func (d *document) setFlowItems(seq *ast.SequenceNode, e Edit) ([]byte, error) {
	has := itemsOf(seq)
	if len(has) > 0 && len(e.List) > len(has) && slices.Equal(has, e.List[:len(has)]) {
		more := e
		more.List = e.List[len(has):]
		text := rendered(more)
		return d.insertFlow(d.at(seq.End), []segment{{index: len(has)}}, Edit{Value: text, verbatim: text[1 : len(text)-1]}), nil
	}
	from, to := d.at(seq.Start), d.at(seq.End)+1
	if strings.Contains(string(d.text[from:to]), "#") {
		return nil, errForm
	}
	var parts []string
	for _, item := range e.List {
		i := slices.Index(has, item)
		if i < 0 {
			parts = append(parts, scalar(item))
			continue
		}
		start, end, err := d.span(seq.Values[i], true)
		if err != nil {
			parts = append(parts, scalar(item))
			continue
		}
		parts = append(parts, string(d.text[start:end]))
	}
	return d.splice(from, to, "["+strings.Join(parts, ", ")+"]"), nil
}
