// Package redact takes secrets out of text that leaves a machine: those that are known, by
// value and in the forms in which programs write them (quoted, escaped, base64, in a URL,
// across a wrapped line), and what has the shape of one: private keys, credentials in
// headers and URLs, fields named like passwords. It can also put stand-ins in the place of
// addresses and names, the same one for the same thing. It is pure and reads nothing but
// what it is given; memory is bounded however long a stream is. It takes out too much
// rather than too little, and it promises nothing of a secret that nobody knows and that
// looks like ordinary text.
package redact

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Secret is a value that must not leave. Name is what stands in its place, as in
// "[removed:registry-password]", and holds nothing secret.
type Secret struct {
	Name  string
	Value []byte
}

// Counts is how often something was taken out, by what stands in its place.
type Counts map[string]int

// Add adds another's counts.
func (c Counts) Add(other Counts) {
	for name, n := range other {
		c[name] += n
	}
}

// shortest is the fewest bytes of a secret that are looked for: fewer are in every text.
const shortest = 4

// Redactor knows secrets. It may be used by several goroutines.
type Redactor struct {
	needles  []needle
	byPrefix map[[shortest]byte][]int // into needles
	pairs    [1 << 16 / 64]uint64     // a bit for each two bytes that a needle begins with
	names    map[string]bool
	short    []string
}

// New knows the secrets given; one without a value is none.
func New(secrets []Secret) *Redactor {
	r := &Redactor{byPrefix: map[[shortest]byte][]int{}, names: map[string]bool{}}
	seen := map[string]bool{}
	for _, s := range secrets {
		r.names[s.Name] = true
		forms := forms(s.Value)
		if len(forms) == 0 && len(bytes.TrimSpace(s.Value)) > 0 {
			r.short = append(r.short, s.Name)
		}
		for _, f := range forms {
			if len(f) >= shortest && !seen[f] {
				seen[f] = true
				r.add(needle{s.Name, []byte(f)})
			}
		}
	}
	return r
}

// needle is one form of one secret.
type needle struct {
	name string
	text []byte
}

func (r *Redactor) add(n needle) {
	prefix := [shortest]byte(n.text)
	r.byPrefix[prefix] = append(r.byPrefix[prefix], len(r.needles))
	r.needles = append(r.needles, n)
	pair := pairOf(n.text)
	r.pairs[pair/64] |= 1 << (pair % 64)
}

func pairOf(text []byte) uint { return uint(text[0])<<8 | uint(text[1]) }

// TooShort names the secrets of too few bytes to be told from ordinary text. They are not
// looked for.
func (r *Redactor) TooShort() []string { return slices.Compact(slices.Sorted(slices.Values(r.short))) }

// Writer is a stream without secrets to out. Close writes what is held back.
func (r *Redactor) Writer(out io.Writer) *Writer {
	return &Writer{out: out, find: r.find, replace: func(h hit, _ []byte) string { return marker + h.name + "]" }, counts: Counts{}}
}

// Bytes is a text without secrets, and what was taken out.
func (r *Redactor) Bytes(text []byte) ([]byte, Counts) {
	var out bytes.Buffer
	w := r.Writer(&out)
	_, _ = w.Write(text) // a buffer takes everything
	_ = w.Close()
	return out.Bytes(), w.Counts()
}

// marker begins what stands in the place of a secret. It has no space, so that it is one
// word, and no quote, so that JSON stays JSON.
const marker = "[removed:"

// find is every secret in a window of a stream.
func (r *Redactor) find(window []byte, first bool) []hit {
	s := scan{text: window, first: first, names: r.names}
	s.shapes()
	s.hits = append(s.hits, r.known(window)...)
	return s.hits
}

// known is every form of a known secret, also where a line was wrapped inside it.
func (r *Redactor) known(window []byte) []hit {
	if len(r.needles) == 0 {
		return nil
	}
	var hits []hit
	begin := r.begins(window)
	for _, at := range begin {
		r.at(window, at, func(n needle) {
			hits = append(hits, hit{from: at, start: at, end: at + len(n.text), name: n.name, sure: true})
		})
	}
	for _, lead := range leads() {
		if joined := unwrap(window, lead); len(joined.text) < len(window) {
			hits = append(hits, r.across(joined, begin)...)
		}
	}
	return hits
}

// begins is where a needle may begin.
func (r *Redactor) begins(text []byte) []int {
	var all []int
	for i := 0; i+shortest <= len(text); i++ {
		if r.may(text[i:]) != nil {
			all = append(all, i)
		}
	}
	return all
}

// may lists the needles that begin with the text's first bytes.
func (r *Redactor) may(text []byte) []int {
	pair := pairOf(text)
	if r.pairs[pair/64]&(1<<(pair%64)) == 0 {
		return nil
	}
	return r.byPrefix[[shortest]byte(text)]
}

// at finds the needles that begin there.
func (r *Redactor) at(text []byte, i int, found func(n needle)) {
	if i+shortest > len(text) {
		return
	}
	for _, n := range r.may(text[i:]) {
		if bytes.HasPrefix(text[i:], r.needles[n].text) {
			found(r.needles[n])
		}
	}
}

// across finds the needles that lie across a join. They begin where one may have begun in
// the text as it was, or so close before a join that their own beginning lies across it.
func (r *Redactor) across(joined joined, begin []int) []hit {
	var hits []hit
	for i, p := range joined.parts {
		try := func(at int) {
			r.at(joined.text, at, func(n needle) {
				if at+len(n.text) > p.at+p.n { // else it is found without joining, too
					hits = append(hits, pieces(joined.parts[i:], at, n)...)
				}
			})
		}
		last := max(0, p.n-shortest+1)
		for len(begin) > 0 && begin[0] < p.was+last {
			if begin[0] >= p.was {
				try(p.at + begin[0] - p.was)
			}
			begin = begin[1:]
		}
		for ; last < p.n; last++ {
			try(p.at + last)
		}
	}
	return hits
}

// pieces are where the bytes of one secret were that begins in the first of the parts.
func pieces(parts []part, at int, n needle) []hit {
	var hits []hit
	from, end := parts[0].was+at-parts[0].at, at+len(n.text)
	for i, p := range parts {
		if p.at >= end {
			break
		}
		hits = append(hits, hit{from: from, start: max(from, p.was), end: p.was + min(p.n, end-p.at), name: n.name, sure: true, more: i > 0})
	}
	return hits
}

// String lists counts in order: "2 password, 1 private-key".
func (c Counts) String() string {
	var text string
	for i, name := range slices.Sorted(maps.Keys(c)) {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", c[name], name)
	}
	return text
}
