package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"valtctl": main})
}

// TestScript runs the real main on the command scripts: testdata/script, one command or
// one behaviour a file.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir+"/home")
			env.Setenv("XDG_STATE_HOME", env.WorkDir+"/state")
			env.Setenv("GORACE", endsAtOnce)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode":   exitCodeCommand,
			"sshserver":  sshServerCommand,
			"makebundle": makeBundleCommand,
		},
	})
}

// endsAtOnce is for GORACE. The race detector has a program sleep for a second before it
// ends, for races with the exit handlers of C, of which Go has none.
const endsAtOnce = "atexit_sleep_ms=0"

// exitCodeCommand runs a program and wants its exit code to be the number given:
// exitcode 2 valtctl site validate.
func exitCodeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N program [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	if got := codeOf(err); got != args[0] {
		ts.Fatalf("%s ended with exit code %s, want %s", args[1], got, args[0])
	}
}

func codeOf(err error) string {
	if err == nil {
		return "0"
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return strconv.Itoa(exit.ExitCode())
	}
	return err.Error()
}

// readScripts is the text of all command scripts.
func readScripts(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("../../testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("finding the command scripts: %v, %d found", err, len(files))
	}
	var all strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatalf("reading a command script: %v", err)
		}
		all.Write(data)
	}
	return all.String()
}
