package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/apt"
)

// SourcesState is what apt makes of the host's sources and settings before any of its lists, for people.
type SourcesState struct {
	// Unreadable is what apt says of sources that it cannot read, a line each; empty: it reads them.
	// Then it installs and updates nothing at all, though what is installed looks well.
	Unreadable string
	// Clash is who lists one repository with different keys, where that is why.
	Clash []Listing
	// Variants are the package variants that the host is set to take (APT::Architecture-Variants, apt 3.1
	// and later): files of another digest under the same names and versions.
	Variants []string
}

// Listing is one file's entry of one repository.
type Listing struct {
	File     string `json:"file"`
	URI      string `json:"uri"`
	Suite    string `json:"suite"`
	SignedBy string `json:"signed_by,omitempty"` // empty: by any key that apt trusts
	Ours     bool   `json:"ours,omitempty"`      // valtctl wrote the file
}

// String is the listing in a sentence.
func (l Listing) String() string {
	if l.SignedBy == "" {
		return l.File + " without Signed-By"
	}
	return fmt.Sprintf("%s with Signed-By %s", l.File, l.SignedBy)
}

// LookAtSources has apt itself read its sources, fetching nothing, and says who is in the way.
// An error is a host that could not be asked.
func LookAtSources(ctx context.Context, h *step.Machine) (SourcesState, error) {
	var found SourcesState
	said, err := sourcesComplaint(ctx, h)
	if err != nil {
		return found, err
	}
	if found.Unreadable = said; said != "" {
		all, err := listings(h)
		if err != nil {
			return found, err
		}
		found.Clash = clashOf(said, all)
	}
	found.Variants, err = variants(ctx, h)
	return found, err
}

// sourcesComplaint is what apt says where it cannot read its sources. To print what an update would
// fetch it reads them, and neither lists nor locks.
func sourcesComplaint(ctx context.Context, h *step.Machine) (string, error) {
	out, err := h.Run.Run(ctx, step.Command{Env: Environment(), Argv: Question("update", "--print-uris")})
	if err == nil {
		return "", nil
	}
	if ctx.Err() == nil && out.Code > 0 {
		var lines []string
		for line := range strings.Lines(complaints(string(out.Stderr))) {
			lines = appendNew(lines, strings.TrimSpace(line)) // apt says it for each way of looking
		}
		return strings.Join(lines, "\n"), nil
	}
	return "", fmt.Errorf("having apt read its sources: %w", err)
}

// variants reads lines as APT::Architecture-Variants:: "amd64v3"; (apt-config(8)).
func variants(ctx context.Context, h *step.Machine) ([]string, error) {
	out, err := h.Run.Run(ctx, step.Command{Env: Environment(), Argv: []string{"apt-config", "dump", "APT::Architecture-Variants"}})
	if err != nil {
		return nil, fmt.Errorf("asking apt for its package variants: %w", err)
	}
	var all []string
	for line := range strings.Lines(string(out.Stdout)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name = strings.ToLower(name); name != "apt::architecture-variants" && name != "apt::architecture-variants::" {
			continue
		}
		for _, word := range strings.FieldsFunc(strings.Trim(value, `";`), func(r rune) bool { return r == ',' || r == ' ' }) {
			all = appendNew(all, word)
		}
	}
	return all, nil
}

// clashing is apt's line about two keys for one repository (apt-pkg/deb/debmetaindex.cc).
var clashing = regexp.MustCompile(`Conflicting values set for option Signed-By regarding source (\S+) (\S+):`)

// clashOf finds the listings that apt's line is about. apt names the repository and the keys, and no file.
func clashOf(said string, all []Listing) []Listing {
	m := clashing.FindStringSubmatch(said)
	if m == nil {
		return nil
	}
	var about []Listing
	for _, l := range all {
		if sameURI(l.URI, m[1]) && l.Suite == m[2] {
			about = append(about, l)
		}
	}
	return clash(about)
}

// clash finds, in apt's order, the first listing of a repository and the first that contradicts it. One
// without a key before one with a key does not.
func clash(all []Listing) []Listing {
	first := map[[2]string]Listing{}
	for _, l := range all {
		name := [2]string{strings.TrimSuffix(l.URI, "/"), l.Suite}
		was, seen := first[name]
		switch {
		case !seen || was.SignedBy == "":
			first[name] = l
		case was.SignedBy != l.SignedBy:
			return []Listing{was, l}
		}
	}
	return nil
}

func sameURI(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }

// listings are all entries of all source files in the order in which apt reads them. What it does
// not understand is passed over: that is apt's to complain about.
func listings(h *step.Machine) ([]Listing, error) {
	entries, err := os.ReadDir(h.Path(sourcesFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading apt's sources: %w", err)
	}
	files := []string{sourcesList}
	for _, e := range entries { // in the order of their names, as apt's
		if end := path.Ext(e.Name()); end == ".list" || end == ".sources" {
			files = append(files, path.Join(sourcesFolder, e.Name()))
		}
	}
	var all []Listing
	for _, file := range files {
		content, err := step.ReadIfThere(h.Path(file))
		if err != nil {
			return nil, err
		}
		all = append(all, listingsOf(file, content)...)
	}
	return all, nil
}

func listingsOf(file string, content []byte) []Listing {
	all := oneLine(file, content)
	if path.Ext(file) == ".sources" {
		all = deb822(file, content)
	}
	ours := bytes.HasPrefix(content, []byte("# "+sourceComment))
	for i := range all {
		all[i].Ours, all[i].SignedBy = ours, keysInOrder(all[i].SignedBy)
	}
	return all
}

// keysInOrder makes lists of the same keys equal, as apt does (sources.list(5)).
func keysInOrder(signedBy string) string {
	if strings.Contains(signedBy, "BEGIN PGP") {
		return strings.TrimSpace(signedBy)
	}
	words := strings.FieldsFunc(signedBy, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
	slices.Sort(words)
	return strings.Join(words, ",")
}

// deb822 reads a .sources file (sources.list(5)).
func deb822(file string, content []byte) []Listing {
	var all []Listing
	for p, err := range apt.Paragraphs(bytes.NewReader(content)) {
		if err != nil {
			return all
		}
		if slices.Contains([]string{"no", "false", "0", "off"}, strings.ToLower(p.Get("Enabled"))) {
			continue
		}
		for _, uri := range p.Words("URIs") {
			for _, suite := range p.Words("Suites") {
				all = append(all, Listing{File: file, URI: uri, Suite: suite, SignedBy: p.Get("Signed-By")})
			}
		}
	}
	return all
}

// oneLine reads lines as deb [signed-by=a,b arch=c] URI suite component… (sources.list(5)).
func oneLine(file string, content []byte) []Listing {
	var all []Listing
	for line := range strings.Lines(string(content)) {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind != "deb" && kind != "deb-src" {
			continue
		}
		var options string
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "[") {
			options, rest, _ = strings.Cut(rest[1:], "]")
		}
		words := strings.Fields(rest)
		if len(words) < 2 {
			continue
		}
		l := Listing{File: file, URI: words[0], Suite: words[1]}
		for _, o := range strings.Fields(options) {
			if keys, ok := strings.CutPrefix(o, "signed-by="); ok {
				l.SignedBy = keys
			}
		}
		all = append(all, l)
	}
	return all
}
