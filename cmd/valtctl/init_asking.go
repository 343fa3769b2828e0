package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// initAsking is init at a terminal: it asks, writes, and offers to check and to install.
func (a *app) initAsking(ctx context.Context, f *initFlags) (report, error) {
	v, done, err := a.guide(ctx, f)
	if err != nil || done.next != "written" {
		return report{}, err
	}
	yes, err := v.yes("Check the site now", "yes: every server and every flow, without changing anything", "no")
	if err != nil {
		return report{}, ended(err)
	}
	if yes {
		unreached, err := a.checkNow(ctx)
		if err != nil && problem.KindOf(err) != problem.Check {
			return report{}, err
		}
		if len(unreached) > 0 {
			v.sayf("Nothing is installed while %s cannot be reached; then: valtctl install\n", strings.Join(unreached, ", "))
			return report{}, err
		}
		a.printProblems(err) // what failed may well be what the installation brings
	}
	yes, err = v.yes("Install now", "yes: it shows what would change and asks once more", "no")
	if err != nil || !yes {
		return report{}, ended(err)
	}
	return a.install(ctx, nil)
}

// ended is the end of a conversation that had written its file: stopping there is no failure.
func ended(err error) error {
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

// checkNow is valtctl check. It returns the servers that were not reached.
func (a *app) checkNow(ctx context.Context) ([]string, error) {
	rep, err := a.check(ctx, checkFlags{deadline: probe.DefaultDeadline}, nil)
	if print := rep.as["text"]; print != nil {
		if printErr := print(a.out); printErr != nil {
			err = errors.Join(err, printErr)
		}
	}
	found, ok := rep.value.(checked)
	if !ok { // it could not be checked at all
		return nil, err
	}
	return found.Unreached, err
}

func (t *prompter) yes(label, yes, no string) (bool, error) {
	for {
		text, was, err := t.choose(label, []wizard.Option{{Value: "yes", Text: yes}, {Value: "no", Text: no}}, "yes")
		if err != nil || was == answers {
			return text == "yes", err
		}
	}
}

// guide leads a person to a written site file.
func (a *app) guide(ctx context.Context, f *initFlags) (*interview, *guided, error) {
	g, base, err := a.newGuide()
	if err != nil {
		return nil, nil, err
	}
	given, err := f.given(g)
	if err != nil {
		return nil, nil, err
	}
	if len(given) > 0 {
		g.Prepare(given)
	}
	v := &interview{
		prompter: &prompter{keys: &keys{tty: readerOf(a.terminal()), done: ctx.Done()}, drawn: a.raw.err, out: a.err, columns: a.columns},
		a:        a, g: g, look: &looker{a: a, g: g, facts: map[int]facts.Facts{}}, given: given, used: map[string]bool{}, form: f.noLook,
		keep: func() error { return a.keepDraft(g) },
	}
	v.sayf("valtctl asks for one thing after the other and checks each answer.\n  ? explains   < goes back   Ctrl-C keeps the answers for the next time\n\n")
	done, err := v.converse(ctx, base)
	if errors.Is(err, errStopped) {
		return nil, nil, a.stoppedWith(g)
	}
	return v, done, err
}

// columns is the width of the terminal that progress is shown on.
func (a *app) columns() int {
	if f := a.screen(); f != nil {
		if wide, _, err := term.GetSize(int(f.Fd())); err == nil && wide > 0 {
			return wide
		}
	}
	return 80
}

// stoppedWith says what becomes of the answers of somebody who stopped.
func (a *app) stoppedWith(g *wizard.Guide) error {
	kept := "nothing was answered yet"
	if n := g.Answered(); n > 0 {
		kept = count(n, "answer") + " kept"
	}
	return &problem.Error{Kind: problem.Interrupted, Doing: "asking about the site", Err: fmt.Errorf("stopped; %s", kept), Fix: "valtctl init goes on where it was stopped"}
}

// converse asks all questions, shows the site, and writes it once the person says so.
func (v *interview) converse(ctx context.Context, base []byte) (*guided, error) {
	if err := v.begin(); err != nil {
		return nil, err
	}
	for {
		if err := v.run(ctx); err != nil {
			return nil, err
		}
		done, s, err := v.a.finished(v.g, base)
		if err != nil {
			v.wrong(err)
			if !v.g.Back(wizard.Question{}) {
				return nil, err
			}
			continue
		}
		again, err := v.decide(done, s, base)
		if err != nil || !again {
			return done, err
		}
	}
}

// begin offers to go on with kept answers, or asks what to do with a file that is there.
func (v *interview) begin() error {
	if ok, err := v.goOn(); ok || err != nil {
		return err
	}
	if !v.g.Whole() {
		if v.g.Found() {
			v.sayf("%s is there and not whole yet: what it says is offered as the answer.\n", v.a.flags.site)
		}
		return nil
	}
	what, _, err := v.choose(v.a.flags.site+" is there. What is to be changed", []wizard.Option{
		{Value: "server", Text: "add a media server"}, {Value: "all", Text: "go through every answer"}, {Value: "show", Text: "nothing: show the site"},
	}, "server")
	if err != nil {
		return err
	}
	if what != "all" {
		v.g.Keep()
	}
	if what == "server" {
		v.g.AddServer()
	}
	return nil
}

// goOn restores answers that were kept, if the person wants that.
func (v *interview) goOn() (bool, error) {
	text, err := os.ReadFile(v.a.draftFile())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = v.g.Restore(text)
	}
	if err != nil {
		v.sayf("Answers from before are not used: %v.\n", err)
		return false, v.a.dropDraft()
	}
	what, _, err := v.choose(fmt.Sprintf("There are %s from before", count(v.g.Answered(), "answer")), []wizard.Option{
		{Value: "on", Text: "go on with them"}, {Value: "new", Text: "begin anew"},
	}, "on")
	if err != nil || what == "on" {
		return true, err
	}
	fresh, _, err := v.a.newGuide()
	if err != nil {
		return false, err
	}
	*v.g = *fresh
	return false, v.a.dropDraft()
}

// decide shows the site and does with it what the person says. True: there is more to ask.
func (v *interview) decide(done *guided, s *site.Site, base []byte) (bool, error) {
	if err := v.a.writeGuided(v.a.out, done, s); err != nil {
		return false, err
	}
	v.a.printWarnings(s.Warnings)
	options := []wizard.Option{{Value: "write", Text: "write " + done.File}, {Value: "back", Text: "go back to the last question"}, {Value: "leave", Text: "leave; the answers are kept"}}
	if !done.Changed {
		options[0].Text = "go on with " + done.File + " as it is"
	}
	what, was, err := v.choose("What now", options, "write")
	if err != nil {
		return false, err
	}
	switch {
	case was == explain:
		return true, nil
	case was == back || what == "back":
		v.g.Back(wizard.Question{})
		return true, nil
	case what == "leave":
		return false, errStopped
	}
	if v.a.flags.dryRun {
		return false, nil
	}
	if err := v.a.writeSite(done, base); err != nil {
		return false, err
	}
	if done.Written {
		v.sayf("%s is written.\n", done.File)
	}
	done.next = "written"
	return false, v.a.dropDraft()
}

// draftFile is where answers about this site file are kept: beside the folders of sites, as
// a site's name may be yet to be asked for.
func (a *app) draftFile() string {
	path, err := filepath.Abs(a.flags.site)
	if err != nil {
		path = a.flags.site
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(filepath.Dir(a.stateDir("x")), "init."+hex.EncodeToString(sum[:6])+".json")
}

func (a *app) keepDraft(g *wizard.Guide) error {
	text, err := g.Draft()
	if err != nil {
		return err
	}
	file := a.draftFile()
	err = os.MkdirAll(filepath.Dir(file), 0o700)
	if err == nil {
		err = durable.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return &problem.Error{Kind: problem.Failed, Doing: "keeping the answers in", Object: file, Err: err, Fix: "set XDG_STATE_HOME to a folder you may write to"}
	}
	return nil
}

func (a *app) dropDraft() error {
	if err := os.Remove(a.draftFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the answers that were kept: %w", err)
	}
	return nil
}
