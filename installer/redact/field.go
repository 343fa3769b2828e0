package redact

import (
	"bytes"
	"regexp"
	"strings"
)

// field is what a name promises of its value.
type field int

const (
	otherField  field = iota
	plainField        // its value is a secret
	numberField       // as plainField, but numbers are counts and fencing tokens
	headerField       // its value is all of the line
)

// sensitive judges a name, such as "MYSQL_ROOT_PASSWORD", "apiKey", "Authorization".
func sensitive(name string) field {
	lower := strings.Map(func(c rune) rune {
		switch {
		case c == '-' || c == '.':
			return '_'
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return c
	}, name)
	switch lower {
	case "authorization", "proxy_authorization", "cookie", "set_cookie", "x_api_key", "x_auth_token", "x_registry_auth":
		return headerField
	case "pass", "auth", "pw", "pin", "psk", "password1", "password2":
		return plainField
	}
	lower = strings.TrimRight(lower, "0123456789")
	for _, word := range []string{"token", "tokens"} {
		if strings.HasSuffix(lower, word) {
			return numberField
		}
	}
	for _, word := range []string{
		"password", "passwords", "passwd", "passphrase", "passwort", "kennwort", "pwd", "secret", "secrets", "credential", "credentials",
		"apikey", "api_key", "privatekey", "private_key", "accesskey", "access_key", "secretkey", "secret_key", "signingkey", "signing_key",
		"licensekey", "license_key", "licencekey", "licence_key", "sessionid", "session_id", "sessid", "_pass", "_pw", "_psk",
	} {
		if strings.HasSuffix(lower, word) {
			return plainField
		}
	}
	if strings.HasSuffix(name, "Pass") {
		return plainField
	}
	return otherField
}

const (
	maxName  = 64
	maxSpace = 8 // around the sign
)

// assignment takes out the value after "=" or ":" where the name before it says so.
func (s *scan) assignment(sign int) {
	name, from := s.nameBefore(sign)
	if name == "" {
		return
	}
	kind := sensitive(name)
	if kind == otherField {
		return
	}
	at := sign + 1
	for at < len(s.text) && (s.text[at] == '=' || s.text[at] == '>') { // := => ==
		at++
	}
	for n := 0; n < maxSpace && at < len(s.text) && (s.text[at] == ' ' || s.text[at] == '\t'); n++ {
		at++
	}
	label := "password"
	switch {
	case kind == headerField:
		label = "header"
	case kind == numberField:
		label = "token"
	}
	s.value(from, at, kind, label)
}

// nameBefore reads the name that ends before the sign, perhaps in quotes.
func (s *scan) nameBefore(sign int) (name string, from int) {
	end := sign
	for n := 0; n < maxSpace && end > 0 && (s.text[end-1] == ' ' || s.text[end-1] == '\t'); n++ {
		end--
	}
	for n := 0; n < 6 && end > 0 && (s.text[end-1] == '"' || s.text[end-1] == '\'' || s.text[end-1] == '\\' || s.text[end-1] == ']'); n++ {
		end--
	}
	from = end
	for from > 0 && end-from < maxName && (wordByte(s.text[from-1]) || s.text[from-1] == '.') {
		from--
	}
	return string(s.text[from:end]), from
}

// value takes out what begins at at: a quoted text, a list of them, or a word.
func (s *scan) value(from, at int, kind field, label string) {
	if at >= len(s.text) || bytes.HasPrefix(s.text[at:], []byte(marker)) {
		return
	}
	if collection.Match(s.text[from:min(len(s.text), at+1)]) || bytes.HasPrefix(s.text[at:], []byte(`\n`)) {
		return // names of what is kept elsewhere, or a block of them in a quoted file
	}
	if s.text[at] == '[' && kind != headerField && at+1 < len(s.text) && bytes.IndexByte([]byte("\"'\\ \n]{"), s.text[at+1]) >= 0 || s.text[at] == '[' && kind == headerField {
		s.list(from, at+1, kind, label)
		return
	}
	if level, quote := quoteAt(s.text[at:]); quote != 0 {
		start := at + level + 1
		if end := bytes.IndexByte(s.text[start:min(len(s.text), start+maxName)], quote); end >= 0 && s.names[string(bytes.TrimRight(s.text[start:start+end], `\`))] {
			return
		}
		if !bytes.HasPrefix(s.text[start:], []byte(marker)) {
			s.pieces(from, start, func(i int) bool { return closes(s.text, i, level, quote) }, label)
		}
		return
	}
	rest := s.text[at:min(len(s.text), at+16)]
	if s.text[at] == '{' && opensObject.Match(rest) || literal.Match(rest) || kind == numberField && number.Match(rest) {
		return
	}
	stop := func(i int) bool { return endsWord(s.text[i]) || s.text[i] == '\\' && quoteFollows(s.text[i:]) }
	if kind == headerField {
		digest := bytes.HasPrefix(bytes.ToLower(rest), []byte("digest"))
		stop = func(i int) bool { return s.text[i] == '"' && !digest }
	}
	s.pieces(from, at, stop, label)
}

var (
	opensObject = regexp.MustCompile(`^\{\s*["'\\}]`)
	collection  = regexp.MustCompile(`^(?i)(?:secrets|credentials|tokens)[\\"']{0,8}\s{0,8}[:=]\s{0,8}[\[{]$`)
	literal     = regexp.MustCompile(`^(?:null|true|false|nil)(?:[\s,;)}\]]|$)`)
	number      = regexp.MustCompile(`^\d{1,12}(?:[\s,;)}\]]|$)`)
)

// list takes out the texts of a list up to its end.
func (s *scan) list(from, at int, kind field, label string) {
	for n := 0; n < 100; n++ {
		for at < len(s.text) && at-from < longest && bytes.IndexByte([]byte(" \t\r\n,"), s.text[at]) >= 0 {
			at++
		}
		if at >= len(s.text) || s.text[at] == ']' || s.text[at] == '{' || bytes.HasPrefix(s.text[at:], []byte(marker)) {
			return
		}
		level, quote := quoteAt(s.text[at:])
		if quote == 0 {
			if kind == headerField {
				s.pieces(from, at, func(i int) bool { return s.text[i] == ']' }, label)
			}
			return
		}
		start := at + level + 1
		if bytes.HasPrefix(s.text[start:], []byte(marker)) {
			at = start + max(0, bytes.IndexByte(s.text[start:], ']')) + level + 2
			continue
		}
		at = s.pieces(from, start, func(i int) bool { return closes(s.text, i, level, quote) }, label) + level + 1
	}
}

// quoteAt is the quote that a text begins with, and how many backslashes come before it.
func quoteAt(text []byte) (level int, quote byte) {
	for level < len(text) && level < 7 && text[level] == '\\' {
		level++
	}
	if level < len(text) && (text[level] == '"' || text[level] == '\'') {
		return level, text[level]
	}
	return 0, 0
}

func quoteFollows(text []byte) bool {
	_, quote := quoteAt(text)
	return quote != 0
}

// closes says whether the quoted text ends at i: with the same quote, as much escaped as
// the first. It ends before its own backslashes.
func closes(text []byte, i, level int, quote byte) bool {
	if level == 0 {
		if text[i] != quote {
			return false
		}
		n := 0
		for n < i && text[i-1-n] == '\\' {
			n++
		}
		return n%2 == 0
	}
	if text[i] == quote && text[i-1] != '\\' {
		return true // the text around it ends
	}
	if text[i] != '\\' || text[i-1] == '\\' {
		return false
	}
	n := 0
	for i+n < len(text) && text[i+n] == '\\' {
		n++
	}
	return n == level && i+n < len(text) && text[i+n] == quote
}

func endsWord(c byte) bool { return c <= ' ' || c == '"' || c == '\'' || c == '<' || c == '`' }

// wrapsAt is how long a line is at least that a log may have wrapped.
const wrapsAt = 8 << 10

// pieces takes out the bytes from start until stop or the end of the line says so, and
// returns where that was. A line so long that a log has wrapped it goes on in the next.
func (s *scan) pieces(from, start int, stop func(i int) bool, label string) int {
	more := false
	add := func(start, end int) {
		if end > start {
			s.hits = append(s.hits, hit{from: from, start: start, end: end, name: label, more: more})
			more = true
		}
	}
	for i := start; i < len(s.text) && i-from < longest; {
		if skip := s.wrap(i); skip > 0 {
			add(start, i)
			i += skip
			start = i
			continue
		}
		if s.text[i] == '\n' || s.text[i] == '\r' || stop(i) {
			add(start, i)
			return i
		}
		i++
	}
	end := min(len(s.text), max(start, from+longest))
	add(start, end)
	return end
}

// wrap is how many bytes at i a log has put inside a line: a line's end and the lead of the
// next, or the engine's time.
func (s *scan) wrap(i int) int {
	switch s.text[i] {
	case '\n':
		if i-max(0, bytes.LastIndexByte(s.text[:i], '\n')) < wrapsAt {
			return 0
		}
		next := s.text[i+1:]
		return 1 + max(journalLead(next), timeLead(next))
	case ' ':
		if line := i - bytes.LastIndexByte(s.text[:i], '\n'); line >= wrapsAt && engineTime(s.text[:i]) {
			return 1
		}
	}
	return 0
}

// Sensitive says whether something of that name, such as a variable, holds a secret.
func Sensitive(name string) bool { return sensitive(name) != otherField }
