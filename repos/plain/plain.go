// Package plain makes words from outside safe to show: what a host, a server, a release or a
// file says may hold sequences that move a terminal's cursor, set its title or its clipboard,
// turn the direction of writing around, or hide what stands there. Every such character is
// written out, as Go writes it in a string (\x1b, \u202e), and everything else stays as it is.
// It stands in front of every terminal, log, mail and page; what may be said at all, and which
// secrets must not be, is for others. The package is pure, and takes time by the length alone.
package plain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is s with its lines and tabs left alone.
func Text(s string) string { return shown(s, "\n\t") }

// Line is s on one line: the ends of lines and tabs in it are written out too. Names and
// whatever else has a line or a cell of its own go through it.
func Line(s string) string { return shown(s, "") }

// Under is s as Text, with every line but the first moved in, so that none of them can be
// taken for a line of ours.
func Under(s string) string {
	return strings.ReplaceAll(Text(strings.TrimRight(s, "\n")), "\n", "\n  ")
}

// JSON is a JSON text (RFC 8259) of the same meaning in which what a reader would not see is
// written \u202e. What cannot be decoded becomes the replacement character. White space
// between its values stays.
func JSON(text []byte) []byte {
	if visible(text) {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/8)
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			out = append(out, `\ufffd`...)
		case r < ' ' || !hidden(r):
			out = append(out, text[i:i+n]...)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
		i += n
	}
	return out
}

// visible says that nothing but ASCII that can be seen, and ends of lines, is in text.
func visible(text []byte) bool {
	for _, c := range text {
		if c >= 0x7f || c < ' ' && c != '\n' {
			return false
		}
	}
	return true
}

// hidden says that r acts on what shows it, or cannot be seen: controls, marks of direction
// and other format characters, private and unassigned ones, separators of lines, and those that
// a font may leave out (Unicode Standard Annex #44, Default_Ignorable_Code_Point).
func hidden(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	return !unicode.IsGraphic(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func shown(s, spared string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < ' ' || c >= 0x7f) && strings.IndexByte(spared, c) < 0 {
			return string(appendShown(make([]byte, 0, len(s)+len(s)/8), s, spared))
		}
	}
	return s
}

// appendShown appends s. Spared are control characters that stay.
func appendShown(out []byte, s, spared string) []byte {
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		switch {
		case r == utf8.RuneError && n == 1:
			out = fmt.Appendf(out, `\x%02x`, s[i])
		case !hidden(r), n == 1 && strings.IndexByte(spared, s[i]) >= 0:
			out = append(out, s[i:i+n]...)
		default:
			out = appendName(out, r)
		}
		i += n
	}
	return out
}

// appendName appends what r is called in a string of Go.
func appendName(out []byte, r rune) []byte {
	switch {
	case r == '\n':
		return append(out, `\n`...)
	case r == '\r':
		return append(out, `\r`...)
	case r == '\t':
		return append(out, `\t`...)
	case r < utf8.RuneSelf:
		return fmt.Appendf(out, `\x%02x`, r)
	case r > 0xffff:
		return fmt.Appendf(out, `\U%08x`, r)
	}
	return fmt.Appendf(out, `\u%04x`, r)
}
