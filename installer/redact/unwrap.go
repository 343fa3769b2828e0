package redact

import (
	"bytes"
	"regexp"
)

// What stands at the start of a line of a log, at most longestLead bytes.
const longestLead = 256

const timestamp = `(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,6})?)`

// leads say how much of a line's beginning a log has put there. The journal cuts what is
// longer than its LineMax (journald.conf(5)) into entries, and the engine's log cuts at
// 16 KiB; a terminal's or a program's own wrap adds an indentation.
func leads() []func(line []byte) int {
	return []func([]byte) int{journalLead, timeLead, indentation}
}

// The leads: "2026-11-22T02:00:00+0000 host unit[17]: ", and a time with perhaps a service's
// name before it.
var (
	reLeadJournal = regexp.MustCompile(`^(?:[\w.-]{1,64} +)?` + timestamp + ` (?:[\w.-]{1,64} )?[^\s\[\]:]{1,64}(?:\[\d+\])?: `)
	reLeadTime    = regexp.MustCompile(`^(?:[\w.-]{1,64} +)?` + timestamp + ` `)
)

func journalLead(line []byte) int { return timedLead(line, reLeadJournal) }

func timeLead(line []byte) int { return timedLead(line, reLeadTime) }

// timedLead is how long a lead with a time is. Its first colon is the one after the hour,
// and few lines without a lead have one like it, which is quicker to see than to match.
func timedLead(line []byte, lead *regexp.Regexp) int {
	line = line[:min(len(line), longestLead)]
	colon := bytes.IndexByte(line, ':')
	if colon < 2 || colon+3 >= len(line) || line[colon+3] != ':' || !digit(line[colon-1]) {
		return 0
	}
	return len(lead.Find(line))
}

func indentation(line []byte) int {
	n := 0
	for n < min(len(line), longestLead) && (line[n] == ' ' || line[n] == '\t') {
		n++
	}
	return n
}

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

// joined is a text whose lines were joined, and where its parts were.
type joined struct {
	text  []byte
	parts []part
}

// part is n bytes in one piece that were at was and are at at.
type part struct{ was, at, n int }

// take adds what stands between two places of the text as it was.
func (j *joined) take(text []byte, from, to int) {
	if from == to {
		return
	}
	if n := len(j.parts); n > 0 && j.parts[n-1].was+j.parts[n-1].n == from {
		j.parts[n-1].n += to - from
	} else {
		j.parts = append(j.parts, part{was: from, at: len(j.text), n: to - from})
	}
	j.text = append(j.text, text[from:to]...)
}

// drop takes the last bytes away again.
func (j *joined) drop(bytes int) {
	j.text = j.text[:len(j.text)-bytes]
	for bytes > 0 {
		last := &j.parts[len(j.parts)-1]
		n := min(bytes, last.n)
		last.n -= n
		bytes -= n
		if last.n == 0 {
			j.parts = j.parts[:len(j.parts)-1]
		}
	}
}

// unwrap joins lines, leaving out what lead finds at the start of the next.
func unwrap(text []byte, lead func(line []byte) int) joined {
	j := joined{text: make([]byte, 0, len(text))}
	for i := 0; i < len(text); {
		end := bytes.IndexByte(text[i:], '\n')
		if end < 0 {
			j.line(text, i, len(text))
			break
		}
		j.line(text, i, i+end)
		if bytes.HasSuffix(j.text, []byte("\r")) {
			j.drop(1)
		}
		i += end + 1
		i += lead(text[i:])
	}
	return j
}

// line adds a line without the times that the engine has put inside it.
func (j *joined) line(text []byte, from, to int) {
	for at := from; ; {
		n := bytes.Index(text[at:to], []byte("Z "))
		if n < 0 {
			break
		}
		at += n + 1
		j.take(text, from, at)
		from = at
		if engineTime(text[:at]) && len(j.text) > engineTimeLength {
			j.drop(engineTimeLength)
			from++
		}
	}
	j.take(text, from, to)
}
