package redact

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Hider puts stand-ins in the place of addresses, names and fingerprints: the same one for
// the same thing, as long as it is used. Numbers are given in the order in which things are
// met, so what is read in a fixed order is hidden in a fixed way. It is not for use by
// several goroutines. A version number of four parts is hidden as well: nothing tells it
// from an address.
type Hider struct {
	names   map[byte][]string // by the first letter, in lower case, the longest first
	kinds   map[string]string // of names
	stands  map[string]string // for what, by kind and text
	legend  map[string]string // what a stand-in stands for
	numbers map[string]int
}

// The kinds of stand-ins: "addr-3".
const (
	kindAddress     = "addr"
	kindMAC         = "mac"
	kindFingerprint = "fingerprint"
	kindCertificate = "certificate"
)

// NewHider hides nothing but addresses and fingerprints until it is told names.
func NewHider() *Hider {
	return &Hider{names: map[byte][]string{}, kinds: map[string]string{}, stands: map[string]string{}, legend: map[string]string{}, numbers: map[string]int{}}
}

// Name has a name hidden, and gives it the next number of its kind at once. An address
// instead of a name is one of the addresses.
func (h *Hider) Name(kind, name string) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if addr, err := netip.ParseAddr(name); err == nil {
		h.standIn(kindAddress, addr.String())
		return
	}
	if name == "" || name == "localhost" || h.kinds[name] != "" {
		return
	}
	h.kinds[name] = kind
	h.standIn(kind, name)
	h.names[name[0]] = append(h.names[name[0]], name)
	slices.SortStableFunc(h.names[name[0]], func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// Legend is what each stand-in stands for.
func (h *Hider) Legend() map[string]string { return maps.Clone(h.legend) }

// Writer is a stream with stand-ins to out. Close writes what is held back.
func (h *Hider) Writer(out io.Writer) *Writer {
	return &Writer{out: out, find: h.find, counts: Counts{}, replace: func(found hit, was []byte) string { return h.standIn(found.name, string(was)) }}
}

// Text is a short text with stand-ins.
func (h *Hider) Text(text string) string {
	var out bytes.Buffer
	w := h.Writer(&out)
	_, _ = w.Write([]byte(text)) // a buffer takes everything
	_ = w.Close()
	return out.String()
}

func (h *Hider) standIn(kind, text string) string {
	id := kind + " " + strings.ToLower(text)
	if kind == kindFingerprint || kind == kindCertificate {
		id = kind + " " + text // base64 has cases
	}
	if h.stands[id] == "" {
		h.numbers[kind]++
		stand := fmt.Sprintf("%s-%d", kind, h.numbers[kind])
		h.stands[id] = stand
		if kind != kindCertificate { // it is known by its place
			h.legend[stand] = text
		}
	}
	return h.stands[id]
}

const octet = `(?:25[0-5]|2[0-4]\d|[01]\d\d|\d\d|\d)`

var (
	reIPv4        = regexp.MustCompile(`^(?:` + octet + `\.){3}` + octet)
	reColons      = regexp.MustCompile(`^(?:[0-9A-Fa-f:]{1,90}:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]{2,95})`)
	reMAC         = regexp.MustCompile(`^[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}$`)
	reHexPairs    = regexp.MustCompile(`^[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15,31}$`)
	reFingerprint = regexp.MustCompile(`^(?:SHA256:[A-Za-z0-9+/]{43}=?|MD5:[0-9a-f]{2}(?::[0-9a-f]{2}){15})`)
	rePublicKey   = lazily(`^AAAA(?:[BCE][A-Za-z0-9+/]{40,999}[A-Za-z0-9+/]{0,999}={0,2})`)
	reCertificate = regexp.MustCompile(`^-----BEGIN (?:TRUSTED )?CERTIFICATE(?: REQUEST)?-----`)
)

// find is everything in a window that has a stand-in.
func (h *Hider) find(text []byte, _ bool) []hit {
	var hits []hit
	add := func(at, n int, kind string) int {
		hits = append(hits, hit{from: at, start: at, end: at + n, name: kind})
		return at + n
	}
	for i := 0; i < len(text); {
		if !begins(text, i) {
			i++
			continue
		}
		n, kind := h.at(text[i:min(len(text), i+longest)])
		if n == 0 {
			i++
			continue
		}
		i = add(i, n, kind)
	}
	return hits
}

// at is how much of the text's beginning is hidden, and as what.
func (h *Hider) at(text []byte) (n int, kind string) {
	c := text[0] | 0x20 // lower case, where it is a letter
	for _, name := range h.names[lower(text[0])] {
		if len(text) >= len(name) && bytes.EqualFold(text[:len(name)], []byte(name)) && (len(text) == len(name) || !letter(text[len(name)])) {
			return len(name), h.kinds[name]
		}
	}
	if text[0] >= '0' && text[0] <= '9' {
		if found := reIPv4.Find(text[:min(len(text), 16)]); found != nil && (len(text) == len(found) || !digit(text[len(found)])) {
			return len(found), kindAddress
		}
	}
	switch {
	case digit(text[0]) || c >= 'a' && c <= 'f' || text[0] == ':':
		if n, kind = colons(reColons.Find(text[:min(len(text), 128)])); n > 0 {
			return n, kind
		}
	case text[0] == '-' && reCertificate.Match(text[:min(len(text), 64)]):
		if end := bytes.Index(text, []byte("-----END ")); end >= 0 {
			if line := bytes.Index(text[end+9:], []byte("-----")); line >= 0 {
				return end + 9 + line + 5, kindCertificate
			}
		}
	}
	var found []byte
	switch start := text[:min(len(text), 4<<10)]; {
	case text[0] == 'S' || text[0] == 'M':
		found = reFingerprint.Find(start)
	case bytes.HasPrefix(start, []byte("AAAA")):
		found = rePublicKey().Find(start)
	}
	if found != nil {
		return len(found), kindFingerprint
	}
	return 0, ""
}

// colons judges digits with colons: an address, a card's address, a fingerprint, or
// nothing, such as a time.
func colons(text []byte) (int, string) {
	text = bytes.TrimRight(text, ":")
	switch {
	case bytes.Count(text, []byte(":")) < 2:
		return 0, ""
	case reMAC.Match(text):
		return len(text), kindMAC
	case reHexPairs.Match(text):
		return len(text), kindFingerprint
	}
	if addr, err := netip.ParseAddr(string(text)); err == nil && addr.Is6() && !addr.IsUnspecified() {
		return len(text), kindAddress
	}
	return 0, ""
}

// begins says whether a word begins here. What escapes put before a word is no part of it.
func begins(text []byte, i int) bool {
	if i == 0 || !letter(text[i-1]) {
		return true
	}
	switch {
	case i >= 2 && text[i-2] == '\\' && bytes.IndexByte([]byte("nrtbf"), text[i-1]) >= 0: // "\n" of JSON
		return true
	case i >= 3 && text[i-3] == '%' && hexDigit(text[i-2]) && hexDigit(text[i-1]): // %20
		return true
	case i >= 6 && text[i-6] == '\\' && text[i-5] == 'u': // \u003c of JSON
		return true
	case text[i-1] == 'm': // the end of a colour
		j := i - 2
		for j >= 0 && (digit(text[j]) || text[j] == ';') {
			j--
		}
		return j >= 0 && text[j] == '['
	}
	return false
}

func letter(c byte) bool {
	return digit(c) || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func hexDigit(c byte) bool { return digit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
