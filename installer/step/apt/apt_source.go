package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/problem"
)

// Where apt looks for sources, and where keys of single sources belong (sources.list(5)).
const (
	sourcesFolder  = "/etc/apt/sources.list.d"
	sourcesList    = "/etc/apt/sources.list"
	keyringsFolder = "/etc/apt/keyrings"
)

// savedEnd is put after the name of a file that a source replaces. apt passes over
// names that end in .save without a word (Dir::Ignore-Files-Silently).
const savedEnd = ".valtctl.save"

// sourceComment heads every file of ours, so that an older one of ours is not taken
// for somebody's.
const sourceComment = "Written by valtctl from the release and the site file."

// SourceParams is one source of packages.
type SourceParams struct {
	Name       string   `json:"name"` // of the file in sources.list.d, without .sources
	URI        string   `json:"uri"`
	Suites     []string `json:"suites"`
	Components []string `json:"components,omitempty"`
	// Architectures limits the source; empty: every architecture of the host.
	Architectures []string `json:"architectures,omitempty"`
	// Exactly one of these: a keyring file that the distribution brings, or
	// an armoured public key, written to /etc/apt/keyrings/<name>.gpg.
	Keyring string `json:"keyring,omitempty"`
	Key     string `json:"key,omitempty"`
	// Replaces lists the distribution's files that this source stands in for.
	// What they hold is kept beside them as <file>.valtctl.save.
	Replaces []string `json:"replaces,omitempty"`
}

// KindSource names what SourceKind makes.
const KindSource step.KindName = "apt-source"

// SourceKind writes a deb822 source that trusts exactly one keyring, and takes
// away the distribution's own files that it replaces, each time they come back.
func SourceKind() step.Kind {
	return step.KindOf(KindSource, step.Reversible, func(p SourceParams) (step.Step, error) { return newAptSource(p) })
}

type aptSource struct {
	path     string // of the .sources file
	content  []byte
	signedBy string
	keyring  []byte // nil: the distribution's
	uri      string
	replaces []string
}

func newAptSource(p SourceParams) (*aptSource, error) {
	if err := CheckPackageWord(p.Name); err != nil {
		return nil, fmt.Errorf("reading an apt source: the name %q needs lower-case letters, digits, - or . only", p.Name)
	}
	s := &aptSource{path: path.Join(sourcesFolder, p.Name+".sources"), uri: p.URI, signedBy: p.Keyring}
	if (p.Key == "") == (p.Keyring == "") {
		return nil, fmt.Errorf("reading the apt source %s: it needs either a keyring of the distribution or a key", p.Name)
	}
	var err error
	if p.Key != "" {
		s.signedBy = path.Join(keyringsFolder, p.Name+".gpg")
		if s.keyring, err = apt.Dearmor([]byte(p.Key)); err != nil {
			return nil, fmt.Errorf("reading the key of the apt source %s: %w", p.Name, err)
		}
	}
	for _, file := range p.Replaces {
		if err := replaceable(file); err != nil {
			return nil, fmt.Errorf("reading the apt source %s: %w", p.Name, err)
		}
		if file != s.path {
			s.replaces = append(s.replaces, file)
		}
	}
	s.content, err = apt.Source{
		Comment: sourceComment, URIs: []string{p.URI}, Suites: p.Suites,
		Components: p.Components, Architectures: p.Architectures, SignedBy: s.signedBy,
	}.Render()
	if err != nil {
		return nil, fmt.Errorf("reading the apt source %s: %w", p.Name, err)
	}
	return s, nil
}

// replaceable lets a source replace nothing but a source.
func replaceable(file string) error {
	if err := step.CleanPath(file); err != nil {
		return err
	}
	if file != sourcesList && path.Dir(file) != sourcesFolder {
		return fmt.Errorf("%s is not one of apt's source files", file)
	}
	return nil
}

func (s *aptSource) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	var diff strings.Builder
	if s.keyring != nil {
		was, err := step.ReadIfThere(h.Path(s.signedBy))
		if err != nil {
			return step.Finding{}, err
		}
		diff.WriteString(keyringDiff(s.signedBy, was, s.keyring))
	}
	was, err := step.ReadIfThere(h.Path(s.path))
	if err != nil {
		return step.Finding{}, err
	}
	if !bytes.Equal(was, s.content) {
		diff.WriteString(step.TextDiff(s.path, was, s.content))
	}
	for _, file := range s.replaces {
		was, err := activeSource(h, file)
		if err != nil {
			return step.Finding{}, err
		}
		if was != nil {
			diff.WriteString(step.TextDiff(file, was, replacement(file)))
		}
	}
	if diff.Len() > 0 {
		// Another source's step may yet replace the file that doubles this one.
		return step.Finding{Change: true, Diff: diff.String(), Disrupts: step.Nothing}, nil
	}
	notes, err := s.doubled(h)
	return step.Finding{Disrupts: step.Nothing, Notes: notes}, err
}

func (s *aptSource) Apply(_ context.Context, h *step.Machine) error {
	if s.keyring == nil {
		if _, err := os.Stat(h.Path(s.signedBy)); err != nil {
			return &problem.Error{Doing: "adding", Object: "the apt source " + s.path, Err: err,
				Fix: "The host lacks the keyring that its distribution brings. Reinstall the package that holds it (ubuntu-keyring)."}
		}
	} else if err := step.WriteFile(h, s.signedBy, s.keyring, step.Owner{Mode: 0o644}); err != nil {
		return err
	}
	// What is replaced goes first: between the two a name listed twice with
	// two keyrings would make apt refuse every source.
	for _, file := range append([]string{s.path}, s.replaces...) {
		if err := s.retire(h, file); err != nil {
			return err
		}
	}
	return step.WriteFile(h, s.path, s.content, step.Owner{Mode: 0o644})
}

// Undo puts back what the sources and keyrings were.
func (s *aptSource) Undo(_ context.Context, h *step.Machine) error {
	_, err := step.PutBack(h)
	return err
}

// retire keeps what a file holds beside it and takes it out of apt's sight.
func (s *aptSource) retire(h *step.Machine, file string) error {
	was, err := activeSource(h, file)
	if err != nil || was == nil || bytes.HasPrefix(was, []byte("# "+sourceComment)) {
		return err
	}
	if err := save(h, file, was); err != nil {
		return err
	}
	if file == sourcesList {
		return step.WriteFile(h, file, replacement(file), step.Owner{Mode: 0o644})
	}
	return step.RemoveFile(h, file)
}

// save writes content to the first name beside file that is free or holds just that,
// so nothing saved earlier is lost.
func save(h *step.Machine, file string, content []byte) error {
	name := file + savedEnd
	for n := 2; ; n++ {
		there, err := step.ReadIfThere(h.Path(name))
		if err != nil {
			return fmt.Errorf("keeping what %s held: %w", file, err)
		}
		if there == nil {
			return step.WriteFile(h, name, content, step.Owner{Mode: 0o644})
		}
		if bytes.Equal(there, content) {
			return nil
		}
		name = fmt.Sprintf("%s.%d%s", file, n, savedEnd)
	}
}

// replacement is what stays of a replaced file: nothing, but sources.list is a file
// that people look for, so it tells where its lines went.
func replacement(file string) []byte {
	if file != sourcesList {
		return nil
	}
	return []byte("# " + sourceComment + "\n# The sources are in " + sourcesFolder + ". What stood here is kept in " +
		sourcesList + savedEnd + ".\n")
}

// activeSource is a source file's content if apt would read anything in it.
func activeSource(h *step.Machine, file string) ([]byte, error) {
	content, err := step.ReadIfThere(h.Path(file))
	if err != nil || content == nil {
		return nil, err
	}
	if file != sourcesList {
		return content, nil
	}
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return content, nil
		}
	}
	return nil, nil
}

// keyringDiff shows keys by their fingerprints, as their publishers name them.
func keyringDiff(file string, was, want []byte) string {
	if bytes.Equal(was, want) {
		return ""
	}
	diff := "+ " + file + " " + fingerprints(want) + "\n"
	if was != nil {
		diff = "- " + file + " " + fingerprints(was) + "\n" + diff
	}
	return diff
}

func fingerprints(keys []byte) string {
	prints, err := apt.Fingerprints(keys)
	if err != nil || len(prints) == 0 {
		return "(no key)"
	}
	return "key " + strings.Join(prints, ", ")
}

// doubled finds other files that list the same address: apt refuses all sources if one
// address is trusted to two keyrings, and says so in words that few understand.
func (s *aptSource) doubled(h *step.Machine) ([]string, error) {
	entries, err := os.ReadDir(h.Path(sourcesFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading apt's sources: %w", err)
	}
	var notes []string
	for _, e := range entries {
		file := path.Join(sourcesFolder, e.Name())
		if end := path.Ext(file); end != ".list" && end != ".sources" || file == s.path || slices.Contains(s.replaces, file) {
			continue
		}
		content, err := step.ReadIfThere(h.Path(file))
		if err != nil {
			return nil, err
		}
		ours := bytes.HasPrefix(content, []byte("# "+sourceComment))
		if !ours && lists(content, s.uri) {
			notes = append(notes, fmt.Sprintf("%s lists %s too; if apt reports conflicting values for Signed-By, remove that file", file, s.uri))
		}
	}
	return notes, nil
}

// lists says whether a line that is no comment names the address.
func lists(content []byte, uri string) bool {
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, word := range strings.Fields(line) {
			if strings.TrimSuffix(word, "/") == strings.TrimSuffix(uri, "/") {
				return true
			}
		}
	}
	return false
}
