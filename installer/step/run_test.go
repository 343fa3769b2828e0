package step

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func run(t *testing.T, argv ...string) (Output, error) {
	t.Helper()
	return Exec{}.Run(t.Context(), Command{Argv: argv})
}

func TestExecGivesAnEnvironmentWithNothingOfOurs(t *testing.T) {
	t.Setenv("VALT_SECRET", "x")
	out, err := run(t, "env")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(out.Stdout); strings.Contains(got, "VALT_SECRET") || !strings.Contains(got, "LC_ALL=C.UTF-8") {
		t.Error(got)
	}
}

func TestExecFindsProgramsWhateverOurPathIs(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := run(t, "true"); err != nil {
		t.Error(err)
	}
	if _, err := run(t, "no-such-program"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := run(t, "/no/such/program"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestExecSaysStatusAndLastLines(t *testing.T) {
	out, err := run(t, "awk", `BEGIN { for (i = 1; i <= 9; i++) print "line " i > "/dev/stderr"; exit 7 }`)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || out.Code != 7 {
		t.Fatal(out.Code, err)
	}
	for _, want := range []string{"running awk", "exit status 7", "line 5", "line 9"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "line 4") {
		t.Errorf("more than the last lines: %q", err)
	}
}

func TestExecHandsOutLinesOfBothStreams(t *testing.T) {
	var got []string
	_, err := Exec{}.Run(t.Context(), Command{
		Argv: []string{"awk", `{ print "got " $0 } END { printf "no newline" }`}, Stdin: []byte("a\nb\r\n"),
		Line: func(l string) { got = append(got, l) },
	})
	if err != nil || strings.Join(got, "|") != "got a|got b|no newline" {
		t.Error(got, err)
	}
}

func TestExecReadsStatusBesideTheOutput(t *testing.T) {
	var got []string
	out, err := Exec{}.Run(t.Context(), Command{
		Argv:   []string{"awk", `BEGIN { print "one" >"/dev/fd/3"; print "out"; print "two" >"/dev/fd/3" }`},
		Status: func(l string) { got = append(got, l) },
	})
	if err != nil || string(out.Stdout) != "out\n" || strings.Join(got, "|") != "one|two" {
		t.Errorf("status %q, output %q, %v", got, out.Stdout, err)
	}
}

func TestExecCapsWhatItKeeps(t *testing.T) {
	if _, err := run(t, "head", "-c", strconv.Itoa(maxStdout+1), "/dev/zero"); err == nil {
		t.Error("output over the cap was cut without a word")
	}
	c := &capture{limit: 4, last: true, lines: newLines(nil).stream()}
	for _, p := range []string{"abc", "defg", "hi", "jklm", "n"} {
		if _, err := c.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(c.bytes()); got != "klmn" {
		t.Errorf("kept %q", got)
	}
}

func TestOverlongLinesAreCut(t *testing.T) {
	var got []string
	s := newLines(func(l string) { got = append(got, l) }).stream()
	s.write([]byte(strings.Repeat("x", maxLineShown)))
	s.write([]byte("y\nz"))
	s.flush()
	if len(got) != 2 || len(got[0]) != maxLineShown || got[1] != "z" {
		t.Errorf("%d lines", len(got))
	}
}

// stopAtFirstLine runs a program that prints its child's process id, and ends ctx then.
func stopAtFirstLine(t *testing.T, c Command) (child int, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var once sync.Once
	c.Line = func(l string) {
		once.Do(func() {
			child, _ = strconv.Atoi(l)
			cancel()
		})
	}
	_, err = Exec{}.Run(ctx, c)
	return child, err
}

// script writes a program for /bin/sh.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheEndOfTheContextEndsTheWholeGroup(t *testing.T) {
	child, err := stopAtFirstLine(t, Command{Argv: []string{script(t, "sleep 600 & echo $!; wait")}})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	// A killed process may still be on its way out, and has until the test's own end.
	for {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(child, 0) != nil {
			return
		}
		if strings.Contains(string(stat), ") S ") { // it sleeps its 600 s
			t.Fatalf("the program's child %d lives on: %s", child, stat)
		}
		time.Sleep(time.Millisecond)
	}
}

// A program that hangs holds nobody for ever, and what ended it is said.
func TestAProgramThatIsNotOverInTimeIsEnded(t *testing.T) {
	_, err := Exec{}.Run(t.Context(), Command{Argv: []string{script(t, "exec sleep 20")}, Within: 50 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "it was not over within 50ms, and was ended") || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestNothingIsStartedAfterTheEndOfTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Exec{}).Run(ctx, Command{Argv: []string{"true"}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAServiceThatKeepsThePipesDoesNotHoldUs(t *testing.T) {
	out, err := run(t, script(t, "sleep 8 & echo started"))
	if err != nil || string(out.Stdout) != "started\n" {
		t.Error(out, err)
	}
}
