package main

import (
	"errors"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ipivs.com/valtctl/repos/publish/publishtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"valtrelease": main})
}

// TestScript runs the real main on the scripts in testdata/release. Each finds valid
// releases in the folders 6.4.1 and 6.4.2.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/release",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUp,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitCode},
	})
}

// setUp also has programs end at once. The race detector has them sleep for a second, for
// races with the exit handlers of C, of which Go has none.
func setUp(env *testscript.Env) error {
	env.Setenv("GORACE", "atexit_sleep_ms=0")
	for _, version := range []string{"6.4.1", "6.4.2"} {
		if err := publishtest.WriteRelease(env.WorkDir+"/"+version, publishtest.Release(version)); err != nil {
			return err
		}
	}
	return nil
}

// exitCode runs a program and wants its exit code: exitcode 2 valtrelease show.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N program [args...]")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = err.Error()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			got = strconv.Itoa(exit.ExitCode())
		}
	}
	if got != args[0] {
		ts.Fatalf("%s ended with exit code %s, want %s", args[1], got, args[0])
	}
}
