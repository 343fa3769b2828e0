package redact

import (
	"bytes"
	"regexp"
	"sync"
)

// scan looks for what has the shape of a secret in one window.
type scan struct {
	text  []byte
	first bool            // nothing comes before text
	names map[string]bool // of secrets: a field that holds one holds no secret
	hits  []hit
}

// shapes goes over the text once. Each shape has a letter that it cannot be without.
func (s *scan) shapes() {
	for i, c := range s.text {
		switch c {
		case '=':
			s.assignment(i)
		case ':':
			if n := slashes(s.text[i+1:]); n > 0 {
				s.login(i, i+1+n)
			} else {
				s.assignment(i)
			}
		case '%':
			s.escapedLogin(i)
		case '-':
			s.dash(i)
		case '$':
			s.whole(i, reCryptHash, "password-hash")
		case 'e':
			if bytes.HasPrefix(s.text[i:], []byte("eyJ")) {
				s.whole(i, reWebToken, "token")
			}
		case 'A', 'a':
			if i+4 < len(s.text) && bytes.EqualFold(s.text[i:i+4], []byte("age-")) {
				s.whole(i, reAgeKey, "age-key")
			}
		case 'B', 'b':
			s.scheme(i)
		case 'E':
			if i+1 < len(s.text) && s.text[i+1] >= 'A' && s.text[i+1] <= 'Z' {
				s.whole(i, reEngineLicence, "licence-key")
			}
		case 'I', 'i':
			s.identified(i)
		}
	}
}

// The shapes that are one word. Those of many letters take milliseconds and megabytes to
// compile, which most runs, and most texts, need not spend.
var (
	reCryptHash     = lazily(`^\$(?:1|5|6|7|y|gy|2[abxy]|argon2(?:id?|d))\$[./A-Za-z0-9$=,+]{20,400}`)
	reWebToken      = lazily(`^eyJ[\w-]{8,1000}\.[\w-]{8,1000}[\w-]{0,1000}[\w-]{0,1000}(?:\.[\w-]{0,1000})?`)
	reAgeKey        = lazily(`^(?i)AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{8,1000}[0-9A-Z]{0,1000}[0-9A-Z]{0,1000}`)
	reEngineLicence = lazily(`^E[A-Z]{3}\d-(?:[0-9A-Za-z]{5}-){3,8}[0-9A-Za-z]{5,20}`)
	reScheme        = regexp.MustCompile(`^(?i)(?:basic|bearer) +`)
	reIdentified    = regexp.MustCompile(`^(?i)identified +(?:with +\S{1,64} +)?(?:by|as) +(?:password +)?`)
	reKeyBegin      = regexp.MustCompile(`^-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----`)
	reKeyEnd        = regexp.MustCompile(`^-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----`)
	reFlag          = regexp.MustCompile(`^--?([A-Za-z][\w-]{1,40})["']?[ \t]{1,8}`)
)

// lazily is an expression that is compiled when it is first needed.
func lazily(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

func (s *scan) add(from, start, end int, name string) {
	if end > start {
		s.hits = append(s.hits, hit{from: from, start: start, end: end, name: name})
	}
}

// whole takes out what begins here and has that shape.
func (s *scan) whole(i int, shape func() *regexp.Regexp, name string) {
	if i > 0 && wordByte(s.text[i-1]) {
		return
	}
	if found := shape().Find(s.text[i:min(len(s.text), i+8<<10)]); found != nil {
		s.add(i, i, i+len(found), name)
	}
}

// dash is where keys and flags begin.
func (s *scan) dash(i int) {
	rest := s.text[i:min(len(s.text), i+128)]
	switch {
	case i > 0 && wordByte(s.text[i-1]): // inside a word
	case bytes.HasPrefix(rest, []byte("-----BEGIN ")):
		if begin := reKeyBegin.Find(rest); begin != nil {
			s.key(i, i+len(begin))
		}
	case bytes.HasPrefix(rest, []byte("-----END ")):
		// The beginning of a log is cut off wherever its last lines begin.
		if end := reKeyEnd.Find(rest); end != nil && s.first && i < longest && !reKeyAnyBegin.Match(s.text[:i]) {
			s.add(0, 0, i+len(end), "private-key")
		}
	default:
		if flag := reFlag.FindSubmatchIndex(rest); flag != nil && sensitive(string(rest[flag[2]:flag[3]])) == plainField {
			s.value(i, i+flag[1], plainField, "password")
		}
	}
}

var reKeyAnyBegin = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----`)

// key takes out a private key up to its end, or where that is missing as much as a key can
// have.
func (s *scan) key(i, body int) {
	limit := min(len(s.text), i+longest)
	for at := body; at < limit; {
		n := bytes.Index(s.text[at:limit], []byte("-----END "))
		if n < 0 {
			break
		}
		at += n
		if end := reKeyEnd.Find(s.text[at:min(len(s.text), at+128)]); end != nil {
			s.add(i, i, at+len(end), "private-key")
			return
		}
		at++
	}
	s.add(i, i, limit, "private-key")
}

// slashes is the length of the "//" of a URL, also as JSON may escape it.
func slashes(text []byte) int {
	for _, form := range []string{"//", `\/\/`} {
		if bytes.HasPrefix(text, []byte(form)) {
			return len(form)
		}
	}
	return 0
}

// login takes the user and password out of a URL.
func (s *scan) login(colon, at int) {
	scheme := colon
	for scheme > 0 && colon-scheme < 32 && (wordByte(s.text[scheme-1]) || s.text[scheme-1] == '+' || s.text[scheme-1] == '.') {
		scheme--
	}
	if scheme == colon {
		return
	}
	end := -1
	for i := at; i < min(len(s.text), at+4<<10); i++ {
		switch s.text[i] {
		case '@':
			end = i
			continue
		case '/', '?', '#', ' ', '\t', '\n', '\r', '"', '\'', '<', '>', '`', '\\':
		default:
			continue
		}
		break
	}
	if end < 0 || bytes.HasPrefix(s.text[at:], []byte(marker)) {
		return
	}
	s.add(scheme, at, end, "url-login")
}

// escapedLogin is the login of a URL inside another one's query.
func (s *scan) escapedLogin(i int) {
	const escaped = "%3a%2f%2f"
	at := i + len(escaped)
	if at > len(s.text) || !bytes.EqualFold(s.text[i:at], []byte(escaped)) {
		return
	}
	for j := at; j+3 <= min(len(s.text), at+4<<10); j++ {
		switch c := s.text[j]; {
		case c == '%' && bytes.Equal(s.text[j+1:j+3], []byte("40")):
			s.add(i, at, j, "url-login")
			return
		case c == '%' && bytes.EqualFold(s.text[j+1:j+3], []byte("2f")), c <= ' ', c == '&', c == '"', c == '\'', c == '[':
			return
		}
	}
}

// scheme is a header's credentials without the header.
func (s *scan) scheme(i int) {
	if i > 0 && wordByte(s.text[i-1]) || i+1 == len(s.text) || s.text[i+1]|0x20 != 'a' && s.text[i+1]|0x20 != 'e' {
		return
	}
	lead := reScheme.Find(s.text[i:min(len(s.text), i+32)])
	if lead == nil {
		return
	}
	at := i + len(lead)
	end := at
	for end < len(s.text) && end-at < longest && (wordByte(s.text[end]) || bytes.IndexByte([]byte("+/=.~"), s.text[end]) >= 0) {
		end++
	}
	if end-at >= 8 && bytes.ContainsAny(s.text[at:end], "0123456789+/=ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		s.add(i, at, end, "authorization")
	}
}

// identified is a password in SQL.
func (s *scan) identified(i int) {
	if i+2 >= len(s.text) || s.text[i+1]|0x20 != 'd' || s.text[i+2]|0x20 != 'e' {
		return
	}
	if lead := reIdentified.Find(s.text[i:min(len(s.text), i+128)]); lead != nil {
		s.value(i, i+len(lead), plainField, "password")
	}
}

func wordByte(c byte) bool {
	return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
