package site

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// syntax tells why the lines are not YAML, in the words of whoever wrote them where the
// cause can be seen. After a slip on the same line or the one before there is no more to say.
func (r *reader) syntax(err error, lines []string) {
	line, what := 1, err.Error()
	var at yaml.Error
	if errors.As(err, &at) {
		what = at.GetMessage()
		if t := at.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
	}
	for _, m := range r.found {
		if m.line == line || m.line == line-1 {
			return
		}
	}
	for n := max(1, line-1); n <= min(line+1, len(lines)); n++ {
		if what, fix, ok := plainCause(lines, n); ok {
			r.report(n, "", what, fix)
			return
		}
	}
	r.report(line, "", "this is not YAML: "+what, "check the indentation, quotes and colons on this line and the one before")
}

var (
	aKey      = regexp.MustCompile(`^( *)([A-Za-z_][A-Za-z0-9_.-]*):( |$)`)
	anItem    = regexp.MustCompile(`^( *)- `)
	reserved  = regexp.MustCompile("^[^\"'#]*: ([@`%])")
	twoColons = regexp.MustCompile(`^[^"'#{\[]*?([A-Za-z_]+): ([^"'#{\[&]*: .*)$`)
)

// plainCause is what people would call the mistake on a line, from 1.
func plainCause(lines []string, n int) (what, fix string, ok bool) {
	text := lines[n-1]
	if m := reserved.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%s begins a value, which YAML keeps for itself", m[1]), "write the value between single quotes", true
	}
	if bracket := openBracket(text); bracket != 0 && n < len(lines) && (aKey.MatchString(lines[n]) || anItem.MatchString(lines[n])) {
		return fmt.Sprintf("the bracket %c on this line does not end", bracket), fmt.Sprintf("write %c behind the last of what it holds", map[rune]rune{'[': ']', '{': '}'}[bracket]), true
	}
	if quote := openQuote(text); quote != 0 {
		return fmt.Sprintf("the quote %c that begins a value does not end", quote), "write it at the value's end as well", true
	}
	if item, ok := itemAbove(lines, n); ok {
		if m := aKey.FindStringSubmatch(text); m != nil {
			return fmt.Sprintf("a - is missing before %s:, or the line is not indented as the one of its item", m[2]),
				fmt.Sprintf("write - %s: where a new item begins, as on line %d, and the item's other keys below its first", m[2], item), true
		}
		return "a - is missing: it stands in a list", fmt.Sprintf("write - before the item, as on line %d", item), true
	}
	if m := twoColons.FindStringSubmatch(text); m != nil {
		return "a second colon with a space behind it stands in the value of " + m[1], "write the value between single quotes", true
	}
	if m := aKey.FindStringSubmatch(text); m != nil && n > 1 {
		if above := aKey.FindStringSubmatch(lines[n-2]); above != nil && len(m[1]) > len(above[1]) && strings.TrimSpace(lines[n-2]) != above[2]+":" {
			return fmt.Sprintf("%s: is indented below %s:, which has a value already", m[2], above[2]), "indent it as the line above", true
		}
	}
	return "", "", false
}

// itemAbove is the line of the item in whose list a line without - stands, as far as it is.
func itemAbove(lines []string, n int) (int, bool) {
	text := lines[n-1]
	indent := len(text) - len(strings.TrimLeft(text, " "))
	if indent == 0 || strings.TrimSpace(text) == "" || anItem.MatchString(text) || strings.HasPrefix(strings.TrimSpace(text), "#") {
		return 0, false
	}
	for i := n - 1; i >= 1; i-- {
		above := lines[i-1]
		deep := len(above) - len(strings.TrimLeft(above, " "))
		if strings.TrimSpace(above) == "" || deep > indent {
			continue
		}
		return i, deep == indent && anItem.MatchString(above)
	}
	return 0, false
}

// openBracket is the bracket of a line that has no end on it; 0: none.
func openBracket(text string) rune {
	var open []rune
	for _, c := range text {
		switch c {
		case '[', '{':
			open = append(open, c)
		case ']', '}':
			open = open[:max(0, len(open)-1)]
		}
	}
	if len(open) == 0 {
		return 0
	}
	return open[len(open)-1]
}

// openQuote is the quote that begins a value on a line and does not end there; 0: none.
func openQuote(text string) rune {
	var open rune
	start := true
	for i, c := range text {
		switch {
		case open != 0 && c == open:
			open = 0
		case open != 0:
		case start && (c == '"' || c == '\''):
			open = c
		case c == '#' && i > 0 && text[i-1] == ' ':
			return 0
		}
		start = c == ' ' || strings.ContainsRune("[{,", c)
	}
	return open
}

// notAList says what stands where a list should.
func (r *reader) notAList(v value) {
	entries, ok := v.node.(*ast.MappingNode)
	if pair, one := v.node.(*ast.MappingValueNode); one {
		entries, ok = &ast.MappingNode{Values: []*ast.MappingValueNode{pair}}, true
	}
	if !ok || len(entries.Values) == 0 || entries.IsFlowStyle {
		r.at(v.path, "is "+kindOf(v.node)+", not a list", "write it in brackets, such as [a, b], or as lines that start with -")
		return
	}
	first := entries.Values[0].Key.GetToken()
	r.report(first.Position.Line, v.path, "a - is missing: it is a list, and each of its items begins with one",
		fmt.Sprintf("write - %s: in place of %s:, and the same before the first key of each other item", first.Value, first.Value))
}

// printed says which character of a value is typographic, and where it stands.
func (r *reader) printed(v value, text string) string {
	i := strings.IndexFunc(text, func(c rune) bool { name, _ := odd(c); return name != "" })
	c, _ := utf8.DecodeRuneInString(text[i:])
	line := nearestLine(r.lines, v.path)
	where := ""
	if line <= len(r.asIs) {
		if at := strings.Index(r.asIs[line-1], text); at >= 0 {
			where = fmt.Sprintf(" at column %d", 1+utf8.RuneCountInString(r.asIs[line-1][:at+i]))
		}
	}
	return fmt.Sprintf("%q has %s%s", text, oddly(c), where)
}
