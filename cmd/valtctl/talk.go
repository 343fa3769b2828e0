package main

// How valtctl talks to people.
//
//   - Standard output is the result and nothing else, so that it can be piped. Progress,
//     warnings, problems and hints are on standard error.
//   - A problem is one line, "valtctl: doing object: cause", with a gerund first, and then
//     "hint:" with what to do, on a line of its own. All problems are printed, not the first.
//   - Causes are in lower case, without a full stop; they quote what the person wrote. Hints
//     start with a verb where they can, and name keys and flags as they are typed.
//   - A warning has the same shape after "valtctl: warning:" and changes no exit code.
//   - Secrets are never printed, nor asked for without a terminal; without one, nothing
//     waits for an answer.
//   - -o json is one envelope on standard output, also when the command fails. Standard error
//     is the same as without it.
//   - Words from outside are shown, never obeyed: all that is printed goes through package
//     plain (raw.go). Further lines of a problem are moved in, so that none passes for another.
//   - The exit code says what kind of problem it was; see exitCode.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
)

// stage is how far a command line has come.
type stage int

const (
	parsing stage = iota // an error now is a mistake on the command line
	running
	printed // the result is out
)

// report is what a command found out, ready for any of its formats.
type report struct {
	value any                              // the result of -o json
	as    map[string]func(io.Writer) error // the other formats, by name
	// files are formats whose bytes are made whole elsewhere, of plain words: their own ends of
	// lines and byte order mark must stay.
	files map[string]func() []byte
}

// text is a report whose only other format is text.
func text(value any, print func(io.Writer) error) report {
	return report{value: value, as: map[string]func(io.Writer) error{"text": print}}
}

// action makes cobra's run function of a command that returns a report. Formats names what
// -o takes; the first one is the default, and "text" stands for it too. A report that comes with an
// error is printed all the same.
func (a *app) action(formats []string, run func(context.Context, []string) (report, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		format, err := pickFormat(a.flags.output, formats)
		if err != nil {
			return err
		}
		a.stage = running
		rep, err := run(cmd.Context(), args)
		a.stage = printed
		if format == "json" {
			a.printEnvelope(envelope{Kind: kindName(cmd), Exit: exitCode(cmd.Context(), err), Result: rep.value, Errors: problemsOf(err)})
			return err
		}
		if printErr := a.printAs(format, rep); printErr != nil {
			err = errors.Join(err, fmt.Errorf("writing the result: %w", printErr))
		}
		return err
	}
}

func (a *app) printAs(format string, rep report) error {
	if file := rep.files[format]; file != nil {
		_, err := a.raw.out.Write(file())
		return err
	}
	if print := rep.as[format]; print != nil {
		return print(a.out)
	}
	return nil
}

func pickFormat(want string, formats []string) (string, error) {
	if want == "" || want == "text" {
		return formats[0], nil
	}
	if !slices.Contains(formats, want) {
		return "", usage(fmt.Errorf("there is no format %q here", want), "write -o and one of "+strings.Join(formats, ", "))
	}
	return want, nil
}

// envelope is the result of -o json (contracts: JSON output).
type envelope struct {
	Schema string        `json:"schema"`
	Kind   string        `json:"kind"`
	Exit   int           `json:"exit"`
	Result any           `json:"result"`
	Errors []problemJSON `json:"errors"`
}

type problemJSON struct {
	Doing  string `json:"doing"`
	Object string `json:"object"`
	Cause  string `json:"cause"`
	Fix    string `json:"fix"`
}

func problemsOf(err error) []problemJSON { return problemList(problem.All(err)) }

func problemList(all []*problem.Error) []problemJSON {
	list := []problemJSON{}
	for _, p := range all {
		j := problemJSON{Doing: p.Doing, Object: p.Object, Fix: p.Fix}
		if p.Err != nil {
			j.Cause = p.Err.Error()
		}
		list = append(list, j)
	}
	return list
}

func (a *app) printEnvelope(e envelope) {
	e.Schema = "valtctl/v1"
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(e)
	if err == nil {
		_, err = a.out.Write(plain.JSON(text.Bytes()))
	}
	if err != nil {
		fmt.Fprintf(a.err, "valtctl: writing the result: %v\n", err)
	}
}

// kindName is what an envelope calls a command: "site validate".
func kindName(cmd *cobra.Command) string {
	_, name, _ := strings.Cut(cmd.CommandPath(), " ")
	return name
}

// wantsJSON looks for -o json in a command line that could not be read.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		switch arg {
		case "-ojson", "-o=json", "--output=json":
			return true
		case "-o", "--output":
			if i+1 < len(args) && args[i+1] == "json" {
				return true
			}
		}
	}
	return false
}

func (a *app) printProblems(err error) {
	for _, p := range problem.All(err) {
		printProblem(a.err, "valtctl: ", p)
	}
}

func (a *app) printWarnings(warnings []*problem.Error) {
	for _, p := range warnings {
		printProblem(a.err, "valtctl: warning: ", p)
	}
}

func printProblem(w io.Writer, lead string, p *problem.Error) {
	fmt.Fprintf(w, "%s%s\n", lead, plain.Under(p.Error()))
	if p.Fix != "" {
		fmt.Fprintf(w, "hint: %s\n", plain.Under(p.Fix))
	}
}

// exitCode maps the end of a run to the exit code (contracts: exit codes). Interrupted
// counts only if it was the person and not a deadline that cancelled.
func exitCode(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return problem.Interrupted.ExitCode()
	}
	return problem.KindOf(err).ExitCode()
}
