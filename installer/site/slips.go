package site

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// slip is a character that an editor put, or a space that is missing, where YAML would make
// something else of the line. Line and column count from 1.
type slip struct {
	line, column int
	what, fix    string
}

// odd are characters that stand for plain ones where they are no part of a text: their names
// and what to write.
func odd(c rune) (name, plain string) {
	switch c {
	case '\u00a0', '\u202f', '\u2007':
		return "a no-break space", " "
	case '\u2002', '\u2003', '\u2009', '\u3000':
		return "a space that is none of the keyboard's", " "
	case '\u200b', '\u2060', '\ufeff':
		return "an invisible character", ""
	case '–':
		return "an en dash", "-"
	case '—':
		return "an em dash", "-"
	case '−':
		return "a minus sign of print", "-"
	case '‐', '‑':
		return "a hyphen of print", "-"
	case '“', '”', '„', '«', '»':
		return "a typographic quote", `"`
	case '‘', '’', '‚':
		return "a typographic quote", "'"
	}
	return "", ""
}

// oddly names a character with its number, for people and for their editor's search.
func oddly(c rune) string {
	name, _ := odd(c)
	return fmt.Sprintf("%s (U+%04X)", name, c)
}

// unprinted writes what is typographic as the keyboard has it.
func unprinted(s string) string {
	var b strings.Builder
	for _, c := range s {
		if name, plain := odd(c); name != "" {
			b.WriteString(plain)
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

// slips finds what editors and hands do to a file's structure, and mends it, so that the rest
// can be judged as it was meant. Lines keep their numbers; comments and texts in quotes or
// blocks of their own are left alone.
func slips(text string) (mended string, found []slip) {
	lines, keys := strings.Split(text, "\n"), allKeys()
	literal := -1 // the indentation of the key that a block of text belongs to
	for i, line := range lines {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if literal >= 0 && (indent > literal || strings.TrimSpace(line) == "") {
			continue
		}
		literal = -1
		s := lineScan{keys: keys, rest: []rune(line)}
		s.indentation()
		s.markers()
		s.key()
		s.value()
		for _, one := range s.found {
			one.line = i + 1
			found = append(found, one)
		}
		lines[i] = string(s.done)
		if blockStart.MatchString(lines[i]) {
			literal = indent
		}
	}
	return strings.Join(lines, "\n"), found
}

// blockStart is a line whose value is the lines below it (YAML 1.2.2, section 8.1).
var blockStart = regexp.MustCompile(`(^|: |- )[|>][-+0-9]*\s*(#.*)?$`)

// lineScan goes over one line.
type lineScan struct {
	keys       map[string]bool // that a site file may have
	open       []rune          // brackets around here
	item       bool            // a hyphen begins the line
	done, rest []rune
	lost       int // characters of the line that are not in done, less those that were added
	found      []slip
}

func (s *lineScan) slip(what, fix string) {
	s.found = append(s.found, slip{column: len(s.done) + s.lost + 1, what: what, fix: fix})
}

// step takes one character over.
func (s *lineScan) step() {
	s.done, s.rest = append(s.done, s.rest[0]), s.rest[1:]
}

// put writes text in place of the next n characters.
func (s *lineScan) put(text string, n int) {
	s.done, s.rest = append(s.done, []rune(text)...), s.rest[n:]
	s.lost += n - len([]rune(text))
}

func (s *lineScan) next() rune {
	if len(s.rest) == 0 {
		return 0
	}
	return s.rest[0]
}

// isSpace says that a character looks like a space and is none to YAML.
func isSpace(c rune) bool {
	name, plain := odd(c)
	return name != "" && strings.TrimSpace(plain) == ""
}

// spaces takes over blanks, and plain ones for others.
func (s *lineScan) spaces(where string) {
	for {
		switch c := s.next(); {
		case c == ' ':
			s.step()
		case isSpace(c):
			_, plain := odd(c)
			s.slip(fmt.Sprintf("%s stands %s", oddly(c), where), "write a plain space there, or none")
			for s.next() == c { // told once
				s.put(plain, 1)
			}
		default:
			return
		}
	}
}

func (s *lineScan) indentation() {
	s.spaces("in the indentation")
	if s.next() != '\t' || strings.TrimSpace(string(s.rest)) == "" {
		return
	}
	s.slip("a tab stands in the indentation", "write spaces there: YAML knows no tabs")
	for s.next() == '\t' {
		s.put("  ", 1)
	}
	s.spaces("in the indentation")
}

// markers takes over the hyphens that begin a list's item.
func (s *lineScan) markers() {
	for {
		c := s.next()
		if _, plain := odd(c); plain == "-" && (len(s.rest) == 1 || s.rest[1] == ' ' || isSpace(s.rest[1])) {
			s.slip(oddly(c)+" begins the line", "write - in its place")
			s.put("-", 1)
			s.item = true
			s.spaces("behind -")
			continue
		}
		if c != '-' {
			return
		}
		switch {
		case len(s.rest) == 1 || s.rest[1] == ' ' || isSpace(s.rest[1]):
			s.step()
			s.item = true
			s.spaces("behind -")
		case s.knownKey(s.rest[1:]) != "":
			s.slip("a space is missing behind -", fmt.Sprintf("write - %s:", s.knownKey(s.rest[1:])))
			s.put("- ", 1)
			s.item = true
		default:
			return
		}
	}
}

// allKeys are the keys of a site file, wherever they stand in it.
func allKeys() map[string]bool {
	all := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok {
				for key := range properties {
					all[key] = true
				}
			}
			for _, below := range v {
				walk(below)
			}
		}
	}
	var schema any
	if json.Unmarshal(schemaText, &schema) == nil { // a test holds it against the types
		walk(schema)
	}
	return all
}

// longestKey is more than the longest key has, in characters.
const longestKey = 32

// knownKey is the site file's key that the text begins with, if a colon follows it.
func (s *lineScan) knownKey(text []rune) string {
	end := slices.Index(text[:min(len(text), longestKey)], ':')
	if end <= 0 || !s.keys[string(text[:end])] {
		return ""
	}
	return string(text[:end])
}

// key takes a key and its colon over, with the space that has to follow.
func (s *lineScan) key() {
	key := s.knownKey(s.rest)
	if key == "" || s.isHostPort(s.rest[len(key)+1:]) {
		return
	}
	s.done, s.rest = append(s.done, s.rest[:len(key)+1]...), s.rest[len(key)+1:]
	switch c := s.next(); {
	case strings.ContainsRune("\x00 \r\t/,}]", c), isSpace(c): // as in http://
	default:
		s.slip(fmt.Sprintf("a space is missing behind %s:", key), fmt.Sprintf("write %s: and then a space", key))
		s.put(" ", 0)
	}
	s.spaces(fmt.Sprintf("behind %s:", key))
}

// isHostPort says that an item of a list is a host and a port, such as app:22.
func (s *lineScan) isHostPort(rest []rune) bool {
	if inList := s.item && len(s.open) == 0 || len(s.open) > 0 && s.open[len(s.open)-1] == '['; !inList {
		return false
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	return digits > 0 && (digits == len(rest) || strings.ContainsRune(" ,]#\r", rest[digits]))
}

// value goes over the rest of the line: values in brackets and out of them, up to a comment.
func (s *lineScan) value() {
	start := true // a value may begin here
	for len(s.rest) > 0 {
		c := s.next()
		_, plain := odd(c)
		switch {
		case c == '#' && (len(s.done) == 0 || s.done[len(s.done)-1] == ' ' || s.done[len(s.done)-1] == '\t'):
			s.done, s.rest = append(s.done, s.rest...), nil
		case isSpace(c) && s.ends():
			s.spaces("behind the value")
		case start && (c == '"' || c == '\''):
			s.quoted(c)
			start = false
		case start && (plain == `"` || plain == "'"):
			s.typographic(plain)
			start = false
		case strings.ContainsRune("]}", c):
			s.step()
			s.open = s.open[:max(0, len(s.open)-1)]
			start = false
		case start && (c == '{' || c == '[') || c == ',' && len(s.open) > 0:
			s.step()
			if c != ',' {
				s.open = append(s.open, c)
			}
			s.spaces("before a value")
			s.key()
			start = true
		default:
			start = c == ' ' && (start || s.behindKey())
			s.step()
		}
	}
}

// behindKey says that what is done ends in a colon.
func (s *lineScan) behindKey() bool { return len(s.done) > 0 && s.done[len(s.done)-1] == ':' }

// ends says that nothing but blanks and a comment follows.
func (s *lineScan) ends() bool {
	for _, c := range s.rest {
		if c != ' ' && !isSpace(c) {
			return c == '#'
		}
	}
	return true
}

// typographic takes over a value between quotes that an editor has made pretty.
func (s *lineScan) typographic(plain string) {
	s.slip(oddly(s.next())+" begins the value", fmt.Sprintf("write the value between plain quotes: %s", plain))
	s.put(plain, 1)
	for len(s.rest) > 0 {
		if _, p := odd(s.next()); p == plain || p == `"` || p == "'" {
			s.put(plain, 1)
			return
		}
		if string(s.next()) == plain {
			s.step()
			return
		}
		s.step()
	}
}

// quoted takes over a value in quotes. In double ones a backslash begins an escape (YAML
// 1.2.2, section 5.7), which a path of Windows does not mean.
func (s *lineScan) quoted(quote rune) {
	end := 1
	for end < len(s.rest) && s.rest[end] != quote {
		if quote == '"' && s.rest[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(s.rest) { // it goes on below, or is not ended: the parser says so
		s.done, s.rest = append(s.done, s.rest...), nil
		return
	}
	inner := string(s.rest[1:end])
	if quote == '"' && !strings.Contains(inner, "'") && (windowsPath.MatchString(inner) || badEscape.MatchString(inner)) {
		s.slip(`\ begins an escape between double quotes`, `write the value between single quotes, or with / in place of each \`)
		s.put("'"+inner+"'", end+1)
		return
	}
	s.done, s.rest = append(s.done, s.rest[:end+1]...), s.rest[end+1:]
}

var (
	windowsPath = regexp.MustCompile(`^([A-Za-z]:\\[^\\]|\\\\[^\\])`)
	badEscape   = regexp.MustCompile(`^(?:[^\\]|\\[0abtnvfre "/\\N_LPxuU])*\\[^0abtnvfre "/\\N_LPxuU]`)
)
