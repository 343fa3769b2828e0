package redact

import (
	"bytes"
	"regexp"
)

// What stands at the start of a line of a log, at most longestLead bytes.
const longestLead = 256

const timestamp = `(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,6})?)`

// The journal cuts what is longer than its LineMax (journald.conf(5)) into entries, and the
// engine's log cuts at 16 KiB; a terminal's or a program's own wrap adds an indentation.
func unwrappings() []func([]byte) ([]byte, []int32) {
	var all []func([]byte) ([]byte, []int32)
	for _, lead := range []*regexp.Regexp{reLeadJournal, reLeadTime, reIndent} {
		all = append(all, func(text []byte) ([]byte, []int32) { return unwrap(text, lead) })
	}
	return all
}

// The leads: "2026-11-22T02:00:00+0000 host unit[17]: ", a time with perhaps a service's name
// before it, and an indentation.
var (
	reLeadJournal = regexp.MustCompile(`^(?:[\w.-]{1,64} +)?` + timestamp + ` (?:[\w.-]{1,64} )?[^\s\[\]:]{1,64}(?:\[\d+\])?: `)
	reLeadTime    = regexp.MustCompile(`^(?:[\w.-]{1,64} +)?` + timestamp + ` `)
	reIndent      = regexp.MustCompile(`^[ \t]*`)
)

// engineTime is the engine's time at the end of text, which it also writes inside a line
// where it has cut one.
func engineTime(text []byte) bool {
	const form = "0000-00-00T00:00:00.000000000Z"
	if len(text) < len(form) {
		return false
	}
	for i, c := range text[len(text)-len(form):] {
		if f := form[i]; f == '0' && (c < '0' || c > '9') || f != '0' && c != f {
			return false
		}
	}
	return true
}

const engineTimeLength = 30

// unwrap joins lines, leaving out what lead finds at the start of the next, and says where
// each byte was.
func unwrap(text []byte, lead *regexp.Regexp) ([]byte, []int32) {
	out := make([]byte, 0, len(text))
	was := make([]int32, 0, len(text))
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\n':
			out, was = trimReturn(out, was)
			i++
			i += len(lead.Find(text[i:min(len(text), i+longestLead)]))
			continue
		case c == ' ' && engineTime(text[:i]) && len(out) > engineTimeLength:
			out, was = out[:len(out)-engineTimeLength], was[:len(was)-engineTimeLength]
			i++
			continue
		}
		out, was = append(out, text[i]), append(was, int32(i))
		i++
	}
	return out, was
}

func trimReturn(out []byte, was []int32) ([]byte, []int32) {
	if bytes.HasSuffix(out, []byte("\r")) {
		return out[:len(out)-1], was[:len(was)-1]
	}
	return out, was
}
