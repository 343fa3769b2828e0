package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/problem"
)

// interview asks a person about a site, from the first open question to the last.
type interview struct {
	*prompter
	a    *app
	g    *wizard.Guide
	look *looker
	// given are answers that flags gave; they are checked when their question comes.
	given wizard.Given
	used  map[string]bool
	form  bool // look at nothing
	keep  func() error
}

// run asks until no question is open.
func (v *interview) run(ctx context.Context) error {
	for {
		q, open := v.g.Next()
		if !open {
			return nil
		}
		if err := v.question(ctx, q); err != nil {
			return err
		}
		if err := v.keep(); err != nil {
			return err
		}
	}
}

// question gets one question answered, or goes back from it.
func (v *interview) question(ctx context.Context, q wizard.Question) error {
	if q.Aspect == wizard.AsHost {
		return v.server(ctx, q)
	}
	text, was := v.fromFlag(q), gesture(answers)
	for {
		if text == "" {
			var err error
			if text, was, err = v.ask(ctx, q); err != nil {
				return err
			}
		}
		switch was {
		case explain:
			v.explain(q)
			text = ""
			continue
		case back:
			if !v.g.Back(q) {
				v.sayf("  this is the first question\n")
			}
			return nil
		}
		ok, err := v.accept(q, text)
		if err != nil || ok {
			return err
		}
		text = ""
	}
}

// fromFlag is the answer that a flag gave, once.
func (v *interview) fromFlag(q wizard.Question) string {
	from, ok := v.given[q.Field]
	if !ok || v.used[q.Field] {
		return ""
	}
	v.used[q.Field] = true
	if from.Flag != "" {
		v.sayf("%s: %s (%s)\n", q.Ask, from.Text, strings.TrimSuffix(from.Flag, "="))
	}
	return from.Text
}

func (v *interview) explain(q wizard.Question) {
	v.sayf("  %s\n", block(strings.ReplaceAll(q.Explain, "\n", "\n  ")))
	if !strings.Contains(q.Flag, "…") {
		v.sayf("  Without a terminal: %s\n", q.Flag)
	}
}

// ask puts one question, in the form that suits it.
func (v *interview) ask(ctx context.Context, q wizard.Question) (string, gesture, error) {
	fallback := v.g.Default(q)
	if q.Kind == wizard.Choice {
		return v.choose(q.Ask, q.Choices, fallback)
	}
	if q.Aspect == wizard.AsDisk {
		if text, was, err := v.askDisk(ctx, q, fallback); err != nil || text != "" || was != answers {
			return text, was, err
		}
	}
	if len(fallback) > longest {
		v.sayf("  now: %s\n  Enter keeps it, - empties it\n", excerpt(fallback))
	}
	return v.line(q.Ask, fallback)
}

// askDisk offers what the server has. Empty: the person wants to type, or nothing is known.
func (v *interview) askDisk(ctx context.Context, q wizard.Question, fallback string) (string, gesture, error) {
	f, known := v.look.facts[q.Server]
	if !known && !v.form && v.g.Value(fmt.Sprintf("hosts[%d].%s", q.Server, wizard.Look)) == "seen" { // before Ctrl-C
		again, err := v.look.gather(ctx, q.Server)
		f, known = again, err == nil
	}
	found := disks(f)
	if !known {
		return "", answers, nil
	}
	if len(found) == 0 {
		v.sayf("  No disk of its own is mounted there yet; one must be before the installation.\n")
		return "", answers, nil
	}
	var options []wizard.Option
	for _, d := range found {
		options = append(options, wizard.Option{Value: d.Mount, Text: diskText(d)})
	}
	options = append(options, wizard.Option{Text: "another folder"})
	return v.choose(q.Ask, options, fallback)
}

// accept keeps an answer that will do, and says why another does not. An answer that is
// odd is kept, and told.
func (v *interview) accept(q wizard.Question, text string) (bool, error) {
	err := v.g.Check(q, text)
	text = q.Normal(text)
	seen := ""
	if err == nil && !v.form {
		if seen, err = v.look.file(q, text); err == nil && q.Aspect == wizard.AsDisk {
			err = v.look.disk(q.Server, text)
		}
	}
	if err != nil {
		v.wrong(err)
		if !errors.Is(err, errAbsent) && q.Aspect != wizard.AsDisk || v.g.Check(q, text) != nil {
			return false, nil
		}
		keep, _, err := v.choose("It is not there yet", []wizard.Option{{Value: "no", Text: "answer again"}, {Value: "yes", Text: "keep the answer; it will be there for the installation"}}, "no")
		if err != nil || keep != "yes" {
			return false, err
		}
	}
	if seen != "" {
		v.sayf("  %s\n", seen)
	}
	v.g.Answer(q, text)
	if items := q.Items(text); q.Kind == wizard.List && len(items) > 1 {
		v.sayf("  %d entries: %s\n", len(items), excerpt(strings.Join(items, " ")))
	}
	for _, odd := range v.g.Odd(q.Field) {
		v.sayf("  note: %s\n", odd)
	}
	return true, nil
}

// wrong says why an answer will not do.
func (v *interview) wrong(err error) {
	var w *wizard.Wrong
	if errors.As(err, &w) {
		v.sayf("  ✗ %s\n", w.What)
		if w.Fix != "" {
			v.sayf("    %s\n", w.Fix)
		}
		return
	}
	for _, p := range problem.All(err) {
		v.sayf("  ✗ %v\n", p)
		if p.Fix != "" {
			v.sayf("    %s\n", p.Fix)
		}
	}
}

// server looks at a server: does it answer, is it the right one, what does it have.
func (v *interview) server(ctx context.Context, q wizard.Question) error {
	if v.form {
		v.g.Answer(q, "later")
		return nil
	}
	name := v.g.Value(fmt.Sprintf("hosts[%d].name", q.Server))
	v.sayf("  looking at %s …\n", name)
	err := v.meet(ctx, q, name)
	if ctx.Err() != nil {
		return errStopped
	}
	if err == nil {
		v.g.Answer(q, "seen")
		return nil
	}
	if errors.Is(err, errStopped) {
		return err
	}
	v.wrong(err)
	next, was, err := v.choose("What now", []wizard.Option{{Value: "again", Text: "look once more"}, {Value: "other", Text: "another address"}, {Value: "later", Text: "go on; the check before the installation looks again"}}, "again")
	switch {
	case err != nil:
		return err
	case was == explain:
		v.explain(q)
	case was == back:
		v.g.Back(q)
	case next == "other":
		v.g.Reopen(fmt.Sprintf("hosts[%d].address", q.Server))
	case next == "later":
		v.g.Answer(q, "later")
	}
	return nil
}

// errForeign says that the fingerprint was not the server's own.
var errForeign = errors.New("the fingerprint was not confirmed")

func (v *interview) meet(ctx context.Context, q wizard.Question, name string) error {
	found, file, err := v.look.hostKeys(ctx, q.Server)
	if err != nil {
		return err
	}
	if !found.Known {
		if err := v.recognise(q, name, file, found.Addr, func() error { return v.look.remember(file, found, found.Keys) }, describeKeys(found.Keys)); err != nil {
			return err
		}
	}
	f, err := v.look.gather(ctx, q.Server)
	if err != nil {
		return err
	}
	v.sayf("  %s: %s\n", name, machineText(f))
	if why := unfit(f, v.g.Value("site")); why != "" {
		return &wizard.Wrong{What: why, Fix: "name another server"}
	}
	return nil
}

// recognise has the person compare a host key's fingerprint, unless a flag gave it.
func (v *interview) recognise(q wizard.Question, name, file, addr string, remember func() error, shown []trustedKey) error {
	if from, ok := v.given[q.Field]; ok && slices.ContainsFunc(shown, func(k trustedKey) bool { return k.Fingerprint == from.Text }) {
		return remember()
	}
	v.sayf("  %s (%s) shows:\n", name, addr)
	for _, k := range shown {
		v.sayf("    %-20s %s\n", k.Type, k.Fingerprint)
	}
	for {
		yes, was, err := v.choose("Is one of these the server's own fingerprint", []wizard.Option{{Value: "no", Text: "no, or not sure"}, {Value: "yes", Text: "yes, remember it"}}, "no")
		switch {
		case err != nil:
			return err
		case was == explain:
			v.sayf("  At the server's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\n")
			continue
		case was == back || yes != "yes":
			return &problem.Error{Kind: problem.Trust, Doing: "trusting", Object: name, Err: errForeign, Fix: "find out who answers at this address"}
		}
		return remember()
	}
}
