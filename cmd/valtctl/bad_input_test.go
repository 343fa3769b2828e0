package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every site file that somebody got wrong is told whole: all of its mistakes, each with file,
// line and what to write, exit code 2, and nothing on standard output.
func TestBadSiteFilesAreToldWhole(t *testing.T) {
	const dir = "../../testdata/bad-input/sites"
	files, err := filepath.Glob(dir + "/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d bad site files, at least 60 are wanted: %v", len(files), err)
	}
	place := regexp.MustCompile(`^valtctl: reading [a-z0-9-]+\.yaml:\d+: .+\n$`)
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			code, stdout, stderr := ownCommand(t, dir, "site", "validate", "--site", name)
			if code != 2 || stdout != "" {
				t.Errorf("exit code %d, standard output %q", code, stdout)
			}
			for i, line := range strings.SplitAfter(strings.TrimSuffix(stderr, "\n"), "\n") {
				if i%2 == 0 && !place.MatchString(strings.TrimSuffix(line, "\n")+"\n") || i%2 == 1 && !strings.HasPrefix(line, "hint: ") {
					t.Errorf("line %d is no mistake with its place, or no hint: %q", i+1, line)
				}
			}
			asKept(t, strings.TrimSuffix(file, ".yaml")+".want", stderr)
		})
	}
}

// asKept compares with what is kept in a file.
func asKept(t *testing.T, file, got string) {
	t.Helper()
	if *updateScreens {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("kept (-) and said (+):\n%s", diff)
	}
}

// ownCommand runs the real command in a folder, without a terminal and without anything of
// whoever runs the test. HOME is a folder of its own.
func ownCommand(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Args[0] = "valtctl" // TestMain runs main for it
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &said
	cmd.Env = []string{"HOME=" + home, "XDG_STATE_HOME=" + filepath.Join(home, "state"), "GORACE=" + endsAtOnce, "PATH=" + os.Getenv("PATH")}
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), out.String(), said.String()
	}
	if err != nil {
		t.Fatal(fmt.Errorf("running valtctl %v: %w", args, err))
	}
	return 0, out.String(), said.String()
}
