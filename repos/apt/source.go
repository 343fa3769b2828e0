package apt

import (
	"fmt"
	"slices"
	"strings"
)

// Source is one deb822 source of binary packages, as a .sources file holds it
// (sources.list(5)).
type Source struct {
	Comment       string // lines before the stanza, without their #
	URIs          []string
	Suites        []string
	Components    []string // empty only for suites that are a path ending in /
	Architectures []string // empty: every architecture of the host
	SignedBy      string   // absolute path of a keyring file
}

// Render writes the source as deb822. Everything that apt would read otherwise than
// it was meant (white space inside a word, a line break, a missing field) is an error.
// The keyring must be named, since without one apt would accept every key it trusts.
func (s Source) Render() ([]byte, error) {
	if !strings.HasPrefix(s.SignedBy, "/") {
		return nil, fmt.Errorf("rendering an apt source: its keyring %q is not an absolute path", s.SignedBy)
	}
	var out strings.Builder
	for line := range strings.Lines(s.Comment) {
		fmt.Fprintf(&out, "# %s\n", strings.TrimRight(line, "\n"))
	}
	for _, f := range []struct {
		name     string
		words    []string
		optional bool
	}{
		{"Types", []string{"deb"}, false},
		{"URIs", s.URIs, false},
		{"Suites", s.Suites, false},
		{"Components", s.Components, s.flat()},
		{"Architectures", s.Architectures, true},
		{"Signed-By", []string{s.SignedBy}, false},
	} {
		if len(f.words) == 0 && f.optional {
			continue
		}
		if err := checkWords(f.words); err != nil {
			return nil, fmt.Errorf("rendering an apt source: %s: %w", f.name, err)
		}
		fmt.Fprintf(&out, "%s: %s\n", f.name, strings.Join(f.words, " "))
	}
	return []byte(out.String()), nil
}

// flat says whether every suite is an exact path, which has no components.
func (s Source) flat() bool {
	return len(s.Suites) > 0 && !slices.ContainsFunc(s.Suites, func(suite string) bool {
		return !strings.HasSuffix(suite, "/")
	})
}

func checkWords(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("nothing is given")
	}
	for _, w := range words {
		if w == "" || strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fmt.Errorf("%q is not one word", w)
		}
	}
	return nil
}
