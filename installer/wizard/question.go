package wizard

import (
	"fmt"
	"regexp"
	"strings"

	"ipivs.com/valtctl/repos/problem"
)

// Kind is how a question is answered.
type Kind string

// The kinds: one line, one of a few, several values in one go, a file of the controller.
const (
	Line   Kind = "line"
	Choice Kind = "choice"
	List   Kind = "list"
	File   Kind = "file"
)

// Aspect is what beyond its form is looked at in an answer, by whoever asks.
type Aspect string

// What can be looked at: that a file is there, that it is the certificate, its key, a
// licence key, or that a server can be reached and is the right one.
const (
	AsFile        Aspect = "file"
	AsCertificate Aspect = "certificate"
	AsKey         Aspect = "key"
	AsLicence     Aspect = "licence"
	AsHost        Aspect = "host"
	AsDisk        Aspect = "disk"
)

// Question is one thing that is asked.
type Question struct {
	Field    string // where the answer stands in the site file; with a + in it: nowhere
	Flag     string // the flag that answers it
	Ask      string // a few words, for the line that is typed into
	Explain  string // what it means and where the answer comes from
	Example  string // what to write, for who wrote nothing
	Kind     Kind
	Choices  []Option
	Suggest  string // what Enter stands for where nothing is known
	Optional bool   // no answer is one
	Aspect   Aspect
	Server   int // which server it is about; -1: none

	fixed   string // the only answer that the others leave
	implied string // what the site file means where it says nothing
	isList  bool   // a choice that the file writes as a list
	spaced  bool   // a list whose items have spaces
}

// Option is one of the answers to choose from.
type Option struct{ Value, Text string }

// Words of answers that stand nowhere in the site file.
const (
	layout = "+layout"
	beam   = "+beam"
	more   = "+more"
	// Look is the question whether a server is reached, of each server.
	Look = "+look"

	Single  = "single"
	Several = "several"
	Cloud   = "cloud"
)

// key is the last part of the field.
func (q Question) key() string {
	if _, rest, ok := strings.Cut(q.Field, "]."); ok {
		return rest
	}
	return q.Field
}

var (
	dash      = regexp.MustCompile(`(\d)\s*[-–]\s*(\d)`)
	separator = regexp.MustCompile(`[\s,;]+`)
)

// Normal is an answer as it is kept: without spaces around it, and a list with commas.
func (q Question) Normal(text string) string {
	text = strings.TrimSpace(text)
	switch {
	case q.Kind == List && q.spaced:
		return strings.Join(splitAt(text, ",;\n"), ", ")
	case q.Kind == List:
		return strings.Join(split(text), ", ")
	}
	return text
}

// split takes a pasted list apart: lines, commas, semicolons, spaces; a range may have
// spaces around its dash.
func split(text string) []string {
	text = dash.ReplaceAllString(text, "$1-$2")
	var all []string
	for _, item := range separator.Split(text, -1) {
		if item = strings.Trim(item, `"'[]`); item != "" {
			all = append(all, item)
		}
	}
	return all
}

func splitAt(text, separators string) []string {
	var all []string
	for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if item = strings.TrimSpace(item); item != "" {
			all = append(all, item)
		}
	}
	return all
}

// Items takes the answer to a list apart.
func (q Question) Items(text string) []string {
	if text = q.Normal(text); q.spaced {
		return splitAt(text, ",;\n")
	}
	return split(text)
}

func unknown(q Question, text string) error {
	var known []string
	for _, o := range q.Choices {
		known = append(known, o.Value)
	}
	return &Wrong{fmt.Sprintf("%q is not known here", text),
		fmt.Sprintf("did you mean %q? Write one of %s", problem.Nearest(text, known), strings.Join(known, ", "))}
}
