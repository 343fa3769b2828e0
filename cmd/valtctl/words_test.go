package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtctl/page"
	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/redact"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/support"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
	"ipivs.com/valtctl/updater/schedule"
)

// mark begins every hostile word, so that it is known that it was shown at all.
const mark = "WORD"

// hostileWords are what somebody outside may say instead of a name, a line or an error.
var hostileWords = map[string]string{
	"title":     mark + "\x1b]0;root@app1\a",
	"clipboard": mark + "\x1b]52;c;cm0gLXJmIC8K\a",
	"link":      mark + "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
	"screen":    mark + "\x1b[2J\x1b[1;1Hexit 0: all hosts updated",
	"device":    mark + "\x1bP$q\x1b\\",
	"eight bit": mark + "\u009b2J\u0090x\u009c",
	"line":      mark + "FAIL\rok  ",
	"bidi":      mark + "\u202Exe.lnk\u2066\u200F\u061C",
	"zero":      mark + "a\u200Bb\uFEFFc\u2060d\U000E0041",
	"separator": mark + "a\u2028b\u2029c",
	"broken":    mark + "\xff\xc3(\x80",
	"new line":  mark + "\nvaltctl: warning: nothing\nhint: do nothing",
	"script":    mark + `"'></svg><script>alert(1)</script>javascript:alert(1)`,
}

// saying is one table of the test: words of one source, on their way to one output.
type saying struct {
	source, output string
	say            func(t *testing.T, word string) string
}

// filtered is what the program prints of act, out and err together, through the filter as main has it.
func filtered(t *testing.T, act func(a *app) error) string {
	t.Helper()
	var all bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &all, err: &all, now: time.Now}
	unfiltered := a.filter()
	if err := act(a); err != nil {
		t.Fatal(err)
	}
	unfiltered()
	return all.String()
}

// as is a report in one of its formats.
func as(format string, rep func(word string) report) func(*testing.T, string) string {
	return func(t *testing.T, word string) string {
		return filtered(t, func(a *app) error {
			a.flags.output = format
			cmd := &cobra.Command{Use: "x"}
			cmd.SetContext(t.Context())
			formats := []string{"text", "json", "html", "table", "csv"}
			return a.action(formats, func(context.Context, []string) (report, error) { return rep(word), nil })(cmd, nil)
		})
	}
}

func worded(word string) event.Event {
	return event.Event{Kind: event.Progress, Host: word, Title: word, Text: word, Index: 1, Count: 2}
}

func noted(word string) event.Event { return event.Event{Kind: event.Note, Host: word, Text: word} }

func rolloutOf(word string) *updater.Report {
	return &updater.Report{About: updater.About{Run: "r1", Kind: updater.KindUpdate, Site: "st-marys", From: word, To: word, Who: word}, Halted: word,
		Hosts: []updater.HostRecord{{Host: "media1", Outcome: updater.RolledBack, Reason: word, Gates: []updater.Gate{{Name: word, Text: word}}}},
		Notes: []updater.Note{{Host: "media1", Text: word}}}
}

func checksOf(word string) checked {
	return checked{Report: &check.Report{Site: "st-marys", Topics: []check.Topic{check.Hosts}, Results: []check.Result{
		{ID: "hosts/app1/x", Topic: check.Hosts, Host: "app1", Subject: word, Status: check.Fail, Cause: word, Evidence: []string{word}, Fix: word},
		{ID: "hosts/app1/y", Topic: check.Hosts, Host: "app1", Subject: word, Status: check.Unknown, Cause: word, Fix: word},
	}}}
}

func changesOf(word string) *installer.Result {
	return &installer.Result{Site: "st-marys", Release: word, DryRun: true, Hosts: []installer.HostResult{{Host: "app1", Outcome: installer.Planned, Steps: 2, Notes: []string{word},
		Changes:  []installer.StepChange{{ID: "x", Title: word, Diff: "- " + strings.ReplaceAll(word, "\n", "\n- ") + "\n", Disrupts: step.Container}},
		Deferred: []installer.StepChange{{ID: "y", Title: word, Disrupts: step.Container}}}}}
}

// namedCamera is a site whose camera has a word for its name.
func namedCamera(t *testing.T, word string) *site.Site {
	t.Helper()
	s, err := site.Parse("site.yaml", []byte(`site: st-marys
ssl: true
clients: [10.0.0.0/16]
hosts:
  - {name: app1, address: 10.0.4.10, roles: [app]}
  - {name: media1, address: 10.0.4.21, roles: [media], cameras: [{name: lobby, address: 10.0.9.12}]}
`), "")
	if err != nil {
		t.Fatal(err)
	}
	s.Hosts[1].Cameras[0].Name = word
	return s
}

func flowsOfCamera(format string, request bool) func(*testing.T, string) string {
	return func(t *testing.T, word string) string {
		s := namedCamera(t, word)
		return as(format, func(string) report {
			a := &app{now: time.Now}
			if request {
				return a.requestReport(s, network.Flows(s), nil)
			}
			return a.flowsReport(s, network.Flows(s))
		})(t, word)
	}
}

func reportOf(word string) report {
	r := rolloutOf(word)
	made := text(r, func(w io.Writer) error { return writeReport(w, r) })
	made.as["html"] = func(w io.Writer) error { return page.Rollout(w, r) }
	return made
}

func checkOf(word string) report {
	return checkReport(&site.Site{ID: "st-marys"}, checksOf(word), checkFlags{})
}

func installOf(word string) report {
	r := changesOf(word)
	return text(r, func(w io.Writer) error { return writeResult(w, r) })
}

func historyOf(word string) report {
	all := []txn.Summary{{ID: word, Host: word, Release: word, Who: word, State: txn.State(word), Error: word}}
	return text(all, func(w io.Writer) error { return writeHistory(w, all) })
}

func erred(word string) error {
	return errors.Join(&problem.Error{Doing: "pulling", Object: word, Err: errors.New(word), Fix: word}, fmt.Errorf("host media1: %s", word))
}

func prompted(ask func(*prompter, string) error) func(*testing.T, string) string {
	return func(t *testing.T, word string) string {
		var drawn bytes.Buffer
		p := &prompter{keys: &keys{tty: &typed{[]string{"\r"}}}, drawn: &drawn, out: plain.NewWriter(&drawn), columns: func() int { return 80 }}
		if err := ask(p, word); err != nil {
			t.Fatal(err)
		}
		return drawn.String()
	}
}

func archived(t *testing.T, word string) string {
	t.Helper()
	a, err := support.NewArchive(redact.New(nil), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	a.Asked("media1", false, errors.New(word))
	if err := a.From("media1").Part(support.Part{Path: word, Data: []byte("x"), End: &support.End{}}); err == nil && plain.Line(word) != word {
		t.Errorf("a file is called %q in the archive", word)
	}
	if err := a.From("media1").Part(support.Part{Path: "a.log", End: &support.End{LeftOut: true, Problem: word}}); err != nil {
		t.Fatal(err)
	}
	written, err := a.Write(t.TempDir()+"/a.tar.gz", support.Manifest{Site: "st-marys"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return as("json", func(string) report { return text(written, nil) })(t, word)
}

// journaled is a journal's text with a word in it.
func journaled(t *testing.T, word string) string {
	t.Helper()
	file := t.TempDir() + "/journal.jsonl"
	w, _, _, err := journal.Open(file, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Append(journal.Failed, word, map[string]string{"error": word})
	content, read := os.ReadFile(file)
	if err := errors.Join(err, w.Close(), read); err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// ways are from whom words come, and where they go. One of the notices stands in updater/schedule, of
// an archive's files in installer/support.
func ways() []saying {
	return []saying{
		{"progress of a host", "lines", func(t *testing.T, word string) string {
			return filtered(t, func(a *app) error { a.observe().Observe(noted(word)); return nil })
		}},
		{"progress of a host", "events", func(t *testing.T, word string) string {
			return filtered(t, func(a *app) error { a.flags.events = true; a.observe().Observe(worded(word)); return nil })
		}},
		{"progress of a host", "live view", func(_ *testing.T, word string) string {
			var drawn bytes.Buffer
			v := newLiveView(&drawn)
			v.Observe(noted(word))
			v.Observe(worded(word))
			said := v.say(v.hosts[word])
			v.end()
			return drawn.String() + said
		}},
		{"an error of a host", "standard error", func(t *testing.T, word string) string {
			return filtered(t, func(a *app) error { a.printProblems(erred(word)); return nil })
		}},
		{"an error of a host", "JSON", func(t *testing.T, word string) string {
			return filtered(t, func(a *app) error { a.printEnvelope(envelope{Errors: problemsOf(erred(word))}); return nil })
		}},
		{"a log of a host", "terminal", func(t *testing.T, word string) string {
			return filtered(t, func(a *app) error {
				var all prefixes
				defer all.flush()
				_, err := io.WriteString(all.of(a.out, "media1"), word)
				return err
			})
		}},
		{"a login's question", "terminal", func(t *testing.T, word string) string {
			return filtered(t, func(a *app) error {
				_, _ = a.askAt(t.Context(), os.NewFile(^uintptr(0), "none"), word+": ", false)
				return nil
			})
		}},
		{"facts of a host", "choice", prompted(func(p *prompter, word string) error {
			_, _, err := p.choose(word, []wizard.Option{{Value: "x", Text: word}, {Value: "y", Text: word}}, "x")
			return err
		})},
		{"facts of a host", "question", prompted(func(p *prompter, word string) error {
			p.sayf("  looking at %s …\n", word)
			_, _, err := p.line(word, word)
			return err
		})},
		{"what a rollout came to", "text", as("text", reportOf)},
		{"what a rollout came to", "JSON", as("json", reportOf)},
		{"what a rollout came to", "HTML", as("html", reportOf)},
		{"what a server answered", "text", as("text", checkOf)},
		{"what a server answered", "JSON", as("json", checkOf)},
		{"what a server answered", "HTML", as("html", checkOf)},
		{"a release, a file of a host", "text", as("text", installOf)},
		{"a release, a file of a host", "JSON", as("json", installOf)},
		{"a host's transactions", "text", as("text", historyOf)},
		{"a host's transactions", "JSON", as("json", historyOf)},
		{"a host's transactions", "system's log", func(t *testing.T, word string) string {
			return filtered(t, func(a *app) error { a.logEnd("t1", txn.Result{}, errors.New(word)); return nil })
		}},
		{"an error of a step", "journal", journaled},
		{"a camera's name", "table", flowsOfCamera("table", false)},
		{"a camera's name", "CSV", flowsOfCamera("csv", false)},
		{"a camera's name", "HTML", flowsOfCamera("html", false)},
		{"a camera's name", "JSON", flowsOfCamera("json", false)},
		{"a camera's name", "request, table", flowsOfCamera("table", true)},
		{"a camera's name", "request, CSV", flowsOfCamera("csv", true)},
		{"a camera's name", "request, HTML", flowsOfCamera("html", true)},
		{"a host's answer for support", "list of the archive", archived},
		{"what the schedule tells", "text", as("text", func(word string) report {
			r := &schedule.RunResult{Told: []string{word}, Report: rolloutOf(word)}
			return text(r, func(w io.Writer) error { return writeRan(w, r) })
		})},
	}
}

var ownDrawing = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]|\r")

// TestHostileWordsAreShownAndNeverObeyed: whoever says them, and wherever they are read.
func TestHostileWordsAreShownAndNeverObeyed(t *testing.T) {
	draws := []string{"live view", "choice", "question"}
	for _, w := range ways() {
		if racing && (w.output == "choice" || w.output == "question") {
			continue
		}
		for name, word := range hostileWords {
			t.Run(w.source+"/"+w.output+"/"+name, func(t *testing.T) {
				got := w.say(t, word)
				if !strings.Contains(got, mark) {
					t.Fatalf("nothing of it is there: %q", got)
				}
				if strings.Contains(w.output, "HTML") && name == "new line" {
					return // white space there
				}
				if strings.Contains(got, word) && plain.Line(word) != word {
					t.Errorf("it is there as it came: %q", got)
				}
				if slices.Contains(draws, w.output) {
					got = ownDrawing.ReplaceAllString(got, "") // ours, of which no hostile word has one alone
				}
				for _, r := range got {
					if r != '\n' && r != '\t' && unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) {
						t.Fatalf("%U is in it: %q", r, got)
					}
				}
				if !utf8.ValidString(got) {
					t.Errorf("it cannot be decoded: %q", got)
				}
				switch {
				case strings.Contains(w.output, "HTML") && strings.Contains(got, "<script"):
					t.Error("the page runs a script")
				case w.output == "JSON" && !json.Valid([]byte(got)):
					t.Errorf("it is no JSON: %q", got)
				case strings.Contains("\n"+got, "\nvaltctl: warning") || strings.Contains("\n"+got, "\nhint: do nothing"):
					t.Errorf("it passes for a line of ours: %q", got)
				}
			})
		}
	}
}

// A camera that is called as a formula is a name in both files for spreadsheets.
func TestACameraIsNoFormula(t *testing.T) {
	for _, name := range []string{`=HYPERLINK("http://evil.example","lobby")`, "+1", "@SUM(A1)", "-2+3", "lobby;=1+1"} {
		for _, request := range []bool{false, true} {
			rows, err := csv.NewReader(strings.NewReader(flowsOfCamera("csv", request)(t, name))).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for _, cell := range slices.Concat(rows...) {
				if cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) && cell != "+1" || strings.Contains(cell, ";=") {
					t.Errorf("the camera %s makes a cell %q", name, cell)
				}
			}
		}
	}
}

// A line without an end is shown in pieces, and not kept.
func TestALogsLineHasALimit(t *testing.T) {
	var longest, all int
	var lines prefixes
	w := lines.of(writing(func(p []byte) { longest, all = max(longest, len(p)), all+len(p) }), "media1")
	piece := bytes.Repeat([]byte("A"), 1<<20)
	for range 100 {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	lines.flush()
	if longest > maxLogLine+100 || all < 100<<20 {
		t.Errorf("of 100 MiB %d bytes were written, %d at once", all, longest)
	}
}

type writing func([]byte)

func (w writing) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// TestNothingGoesAroundTheFilter: the program's streams are named in one place, and what is
// without the filter is used by those alone who write nothing that is not their own.
func TestNothingGoesAroundTheFilter(t *testing.T) {
	may := map[string]string{
		"filter":     "it is what puts the filter there",
		"screen":     "the terminal itself, for the live view, which shows plain words",
		"serveAgent": "the agent's protocol",
		"printAs":    "files that are plain by their making",
		"guide":      "prompts, which show plain words",
	}
	used := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.test || strings.Contains(f.path, "/steptest/") || within(f.dir, "cmd/valtlab") || within(f.dir, "cmd/valtrelease") { // which have a filter of their own, or no strangers
			continue
		}
		for _, d := range f.tree.Decls {
			in := "no function"
			if fn, ok := d.(*ast.FuncDecl); ok {
				in = fn.Name.Name
			}
			ast.Inspect(d, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				of, _ := sel.X.(*ast.Ident)
				switch name := sel.Sel.Name; {
				case of != nil && of.Name == "os" && (name == "Stdout" || name == "Stderr") && (f.dir != "cmd/valtctl" || in != "main"):
					t.Errorf("%s: %s has os.%s past the filter", f.set.Position(n.Pos()), in, name)
				case of != nil && of.Name == "fmt" && strings.HasPrefix(name, "Print"):
					t.Errorf("%s: %s prints past the filter", f.set.Position(n.Pos()), in)
				case f.dir == "cmd/valtctl" && name == "raw":
					used[in] = true
					if may[in] == "" {
						t.Errorf("%s: %s writes past the filter; give it a.out or a.err", f.set.Position(n.Pos()), in)
					}
				}
				return true
			})
		}
	}
	for name := range may {
		if !used[name] {
			t.Errorf("%s needs nothing past the filter any more: take it off this list", name)
		}
	}
}
