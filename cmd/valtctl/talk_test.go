package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/repos/problem"
)

func of(kind problem.Kind) error {
	return &problem.Error{Kind: kind, Doing: "pulling", Object: "docker.ipivs.com/valt/web", Err: errors.New("401 Unauthorized"), Fix: "check the login"}
}

func TestExitCodes(t *testing.T) {
	live := t.Context()
	gone, cancel := context.WithCancel(live)
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"done", live, nil, 0},
		{"plain error", live, errors.New("no"), 1},
		{"input", live, of(problem.Input), 2},
		{"check", live, of(problem.Check), 3},
		{"halted", live, of(problem.Halted), 4},
		{"locked", live, of(problem.Locked), 5},
		{"trust", live, of(problem.Trust), 6},
		{"wrapped", live, fmt.Errorf("on app1: %w", of(problem.Trust)), 6},
		{"several: trust first", live, errors.Join(of(problem.Check), of(problem.Trust), of(problem.Input)), 6},
		{"several: input before locked", live, errors.Join(of(problem.Locked), of(problem.Input)), 2},
		{"several: locked before halted", live, errors.Join(of(problem.Halted), of(problem.Locked)), 5},
		{"several: check before failed", live, errors.Join(of(problem.Failed), of(problem.Check)), 3},
		{"a person's interrupt", gone, fmt.Errorf("installing: %w", context.Canceled), 130},
		{"a cancelled part of a live run", live, fmt.Errorf("installing: %w", context.Canceled), 1},
		{"a failure that an interrupt did not cause", gone, of(problem.Trust), 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := exitCode(tt.ctx, tt.err); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
		})
	}
}

// perform runs a command made of the report and error as the command line would.
func perform(t *testing.T, format string, rep report, result error) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	a := &app{out: &out, err: &errOut, flags: flags{output: format}}
	cmd := &cobra.Command{Use: "pull"}
	parent := &cobra.Command{Use: "valtctl"}
	parent.AddCommand(cmd)
	cmd.SetContext(t.Context())
	err = a.action([]string{"text", "json"}, func(context.Context, []string) (report, error) { return rep, result })(cmd, nil)
	a.printProblems(err)
	return out.String(), errOut.String(), err
}

func pulled(w io.Writer) error {
	_, err := io.WriteString(w, "pulled 2 of 3\n")
	return err
}

func TestEveryProblemIsPrintedAndTheResultToo(t *testing.T) {
	stdout, stderr, _ := perform(t, "", text(2, pulled), errors.Join(of(problem.Failed), errors.New("the disk is full")))
	if stdout != "pulled 2 of 3\n" {
		t.Errorf("standard output %q", stdout)
	}
	want := "valtctl: pulling docker.ipivs.com/valt/web: 401 Unauthorized\nhint: check the login\nvaltctl: the disk is full\n"
	if stderr != want {
		t.Errorf("standard error\n%swant\n%s", stderr, want)
	}
}

func TestTheEnvelopeHoldsResultAndErrors(t *testing.T) {
	stdout, _, _ := perform(t, "json", text(2, pulled), of(problem.Trust))
	var got envelope
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("standard output is not one JSON value: %v", err)
	}
	if got.Schema != "valtctl/v1" || got.Kind != "pull" || got.Exit != 6 || got.Result != float64(2) || len(got.Errors) != 1 {
		t.Errorf("envelope %+v", got)
	}
	want := problemJSON{Doing: "pulling", Object: "docker.ipivs.com/valt/web", Cause: "401 Unauthorized", Fix: "check the login"}
	if len(got.Errors) == 1 && got.Errors[0] != want {
		t.Errorf("error %+v, want %+v", got.Errors[0], want)
	}
}

func TestAResultThatCannotBeWrittenIsAFailure(t *testing.T) {
	_, _, err := perform(t, "", text(2, func(io.Writer) error { return io.ErrClosedPipe }), nil)
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}
