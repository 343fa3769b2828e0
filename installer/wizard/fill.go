package wizard

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/repos/problem"
)

// Given are answers that flags gave, by field, each with the flag as it was written.
type Given map[string]FromFlag

// FromFlag is one answer and where it comes from.
type FromFlag struct{ Flag, Text string }

// Fill answers all questions without asking anybody: from flags, from the file, and where a
// choice has a usual answer from that. What is missing or wrong is named with its flag, all
// at once. Look is asked about every answer that Check finds right.
func (g *Guide) Fill(given Given, look func(Question, string) error) error {
	g.Prepare(given)
	var errs []error
	used := map[string]bool{}
	for {
		q, open := g.nextOf(given, used)
		if !open {
			break
		}
		from, ok := given[q.Field]
		used[q.Field] = true
		if !ok {
			from = FromFlag{Flag: q.Flag}
			if from.Text, ok = g.usual(q); !ok {
				errs = append(errs, missing(q))
				if strings.HasSuffix(q.Field, ".name") {
					return errors.Join(errs...) // nothing can be said of a server without a name
				}
				g.Answer(q, "")
				continue
			}
		}
		err := g.Check(q, from.Text)
		if err == nil {
			err = look(q, q.Normal(from.Text))
		}
		if err != nil {
			errs = append(errs, refused(from.Flag, err))
		}
		g.Answer(q, from.Text)
	}
	return errors.Join(append(errs, unused(given, used)...)...)
}

// nextOf is the next question that is open, or that a flag answers anew.
func (g *Guide) nextOf(given Given, used map[string]bool) (Question, bool) {
	for _, q := range g.Questions() {
		_, ok := given[q.Field]
		if !g.done[q.Field] || ok && !used[q.Field] && q.fixed == "" {
			return q, true
		}
		if ok && q.fixed != "" && q.Normal(given[q.Field].Text) == q.fixed {
			used[q.Field] = true
		}
	}
	return Question{}, false
}

// Prepare adds to the flags what follows from them.
func (g *Guide) Prepare(given Given) {
	set := func(field, text string) {
		if _, ok := given[field]; !ok {
			given[field] = FromFlag{Text: text}
		}
	}
	servers := 0
	for {
		if _, ok := given[ofHost(servers, "name")]; !ok && g.loaded[ofHost(servers, "name")] == "" {
			break
		}
		servers++
	}
	for i := range servers {
		if i < servers-1 && g.loaded[ofHost(i, more)] != "yes" {
			set(ofHost(i, more), "yes")
		}
	}
	_, cloud := given["cloud.app"]
	switch {
	case cloud:
		set(layout, Cloud)
	case servers == 1 && g.loaded[layout] == "":
		set(layout, Single)
	case servers > 1 && g.loaded[layout] != Cloud:
		set(layout, Several)
	}
	if _, ok := given["beam.devices"]; ok {
		set(beam, "yes")
	}
}

// usual is the answer to a question that nobody answered.
func (g *Guide) usual(q Question) (string, bool) {
	text, has := g.answer[q.Field]
	switch {
	case has && text != "":
		return text, true
	case q.Optional:
		return "", true
	case q.Kind == Choice || q.Field == "name":
		return q.Suggest, q.Suggest != ""
	}
	return "", false
}

func missing(q Question) error {
	return &problem.Error{Kind: problem.Input, Doing: "reading the command line", Err: fmt.Errorf("%s is missing: %s", q.Flag, lower(q.Ask)), Fix: q.Example}
}

func refused(flag string, err error) error {
	var w *Wrong
	if errors.As(err, &w) {
		return &problem.Error{Kind: problem.Input, Doing: "reading the command line", Object: flag, Err: errors.New(w.What), Fix: w.Fix}
	}
	return err
}

// unused names flags that answer no question of this site.
func unused(given Given, used map[string]bool) []error {
	var errs []error
	for field, from := range given {
		if !used[field] && from.Flag != "" {
			errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading the command line", Object: from.Flag,
				Err: errors.New("the other answers leave nothing to ask there"), Fix: "leave it out, or change what stands against it"})
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// serverKeys are the keys within a --server, and the fields that they answer.
func serverKeys() map[string]string {
	return map[string]string{"address": "address", "roles": "roles", "recordings": "recordings", "license": "wowza.license",
		"key-file": "wowza.key_file", "cameras": "cameras", "fingerprint": Look}
}

// Servers reads the values of --server: a name and key=value words behind it. A server that
// the file has is changed, another is added.
func (g *Guide) Servers(specs []string, given Given) error {
	next := 0
	for g.loaded[ofHost(next, "name")] != "" {
		next++
	}
	var errs []error
	for _, spec := range specs {
		words := strings.Fields(spec)
		if len(words) == 0 || strings.Contains(words[0], "=") {
			errs = append(errs, refused("--server", &Wrong{fmt.Sprintf("%q does not begin with the server's name", spec), `write it as "media1 address=10.0.4.21 roles=media"`}))
			continue
		}
		i := slices.Index(g.namesWith(given), words[0])
		if i < 0 {
			i, next = next, next+1
		}
		given[ofHost(i, "name")] = FromFlag{"--server", words[0]}
		errs = append(errs, serverWords(i, words, given)...)
	}
	return errors.Join(errs...)
}

func (g *Guide) namesWith(given Given) []string {
	var all []string
	for i := 0; ; i++ {
		name := g.loaded[ofHost(i, "name")]
		if from, ok := given[ofHost(i, "name")]; ok {
			name = from.Text
		}
		if name == "" {
			return all
		}
		all = append(all, name)
	}
}

func serverWords(i int, words []string, given Given) []error {
	var errs []error
	known := serverKeys()
	for _, word := range words[1:] {
		key, text, ok := strings.Cut(word, "=")
		field := known[key]
		if !ok || field == "" {
			keys := []string{"address", "roles", "fingerprint", "recordings", "license", "key-file", "cameras"}
			errs = append(errs, refused("--server "+words[0], &Wrong{fmt.Sprintf("%q is not known here", word),
				fmt.Sprintf("did you mean %s=? Its keys are %s, each with = and a value without spaces", problem.Nearest(key, keys), strings.Join(keys, ", "))}))
			continue
		}
		if key == "roles" {
			items := split(text)
			slices.Sort(items)
			text = strings.Join(items, ", ")
		}
		given[ofHost(i, field)] = FromFlag{"--server " + words[0] + " " + key + "=", text}
	}
	return errs
}
