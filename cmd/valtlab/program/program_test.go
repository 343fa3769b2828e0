package program

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// script is a program that talks a lot on both outputs and ends as it is told.
func script(t *testing.T, end string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), "/bin/sh", "-c", "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; echo 'E: the cause' >&2; "+end)
}

func TestFailureSaysTheLastLines(t *testing.T) {
	err := Run(script(t, "exit 7"))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Fatalf("its end is not told: %v", err)
	}
	for _, want := range []string{"running sh: exit status 7", "\n  line 99\n", "\n  E: the cause"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "line 80\n") {
		t.Errorf("it says too much: %v", err)
	}
	if err := Run(script(t, "exit 0")); err != nil {
		t.Errorf("a program that ended well: %v", err)
	}
}

func TestOutputThatGoesSomewhereStaysThere(t *testing.T) {
	var out bytes.Buffer
	cmd := script(t, "exit 1")
	cmd.Stdout = &out
	err := Run(cmd)
	if !strings.Contains(out.String(), "line 99") || strings.Contains(err.Error(), "line 99") || !strings.Contains(err.Error(), "E: the cause") {
		t.Errorf("wrote %d bytes, and said %v", out.Len(), err)
	}
}

func TestSilenceAndLongLinesAreTold(t *testing.T) {
	if err := Run(exec.CommandContext(t.Context(), "false")); !strings.Contains(err.Error(), "(nothing)") {
		t.Errorf("a program that said nothing: %v", err)
	}
	if err := Run(exec.CommandContext(t.Context(), "/nowhere/at-all")); !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a program that is not there: %v", err)
	}
	var said tail
	long := strings.Repeat("x", 3*tailLength) + "\nthe end"
	if _, err := said.Write([]byte(long)); err != nil {
		t.Fatal(err)
	}
	if got := LastLines(said.bytes()); !strings.HasSuffix(got, "…\n  the end") || len(got) > 2*maxLine {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}
