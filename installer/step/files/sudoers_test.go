package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testneeds"
)

// One mistake in a file of sudo's, and nobody is root any more who was not already.
func TestWhatVisudoRefusesNeverCounts(t *testing.T) {
	testneeds.Of(t, testneeds.Program("visudo", "sudo"))
	const file, good = "/etc/sudoers.d/valtctl-schedule", "valt ALL=(root) NOPASSWD: /usr/bin/true\n"
	h := steptest.RootMachine(t, nil)
	h.Run = step.Exec{}
	steptest.Settles(t, steptest.MakeStep(t, FileKind(), FileParams{Path: file, Mode: "0440", Content: good}), h)
	bad := steptest.MakeStep(t, FileKind(), FileParams{Path: file, Mode: "0440", Content: "valt ALL=(root NOPASSWD /usr/bin/true\n"})
	err := bad.Apply(t.Context(), h)
	var told *problem.Error
	if !errors.As(err, &told) || told.Fix == "" || !strings.Contains(err.Error(), "visudo") || !strings.Contains(err.Error(), file+":1") {
		t.Errorf("got %v", err)
	}
	onlyIsThere(t, h, file, good)
}

// A host on which nobody can judge it does not get the file; one of other programs' is not asked about.
func TestWithoutVisudoNothingIsWrittenForSudo(t *testing.T) {
	h := steptest.RootMachine(t, nil)
	var asked []string
	h.Run = steptest.RunFunc(func(_ context.Context, c step.Command) (step.Output, error) {
		asked = append(asked, c.Argv[0])
		return step.Output{Code: -1}, fmt.Errorf("running it: %w", fs.ErrNotExist)
	})
	err := steptest.MakeStep(t, FileKind(), FileParams{Path: "/etc/sudoers.d/x", Mode: "0440", Content: "x"}).Apply(t.Context(), h)
	var told *problem.Error
	if !errors.As(err, &told) || !strings.Contains(err.Error(), "visudo is not on this host") || !strings.Contains(told.Fix, "install sudo") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(h.Path("/etc/sudoers.d")); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	asked = nil
	if err := steptest.MakeStep(t, FileKind(), FileParams{Path: "/etc/other.d/x", Mode: "0440", Content: "x"}).Apply(t.Context(), h); err != nil || len(asked) > 0 {
		t.Errorf("another file: %v, asked %q", err, asked)
	}
}

func onlyIsThere(t *testing.T, h *step.Machine, file, content string) {
	t.Helper()
	left, err := os.ReadDir(h.Path("/etc/sudoers.d"))
	if err != nil || len(left) != 1 || steptest.Content(t, h, file) != content {
		t.Errorf("there is %v with %q, %v", left, steptest.Content(t, h, file), err)
	}
}
