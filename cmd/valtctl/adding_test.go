package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/testneeds"
)

// halves are the first things that somebody writes who adds one of each: the files that
// are new, and what goes into files that are there, after the line that a pattern finds.
// Of a check, a step and a command there are two: one that is in no list, and one that is
// in its list and has no more.
func halves() (files map[string]string, lines []addition) {
	files = map[string]string{
		"installer/check/host_beacon.go": `package check

func judgeBeacon(v view) finding { return pass("the beacon of " + v.Host.Name) }

func judgeGlow(v view) finding { return pass("the glow of " + v.Host.Name) }
`,
		"installer/step/beacon/beacon.go": `// Package beacon has steps that are half added. They do nothing.
package beacon

import "ipivs.com/valtctl/installer/step"

// Kind is of steps that no list has.
func Kind() step.Kind { return step.Kind{Name: "beacon", Way: step.OneWay} }

// GlowKind is of steps that a list has, and that is all.
func GlowKind() step.Kind { return step.Kind{Name: "glow"} }
`,
		"cmd/valtctl/beacon.go": `package main

import "github.com/spf13/cobra"

func (a *app) beaconCommand() *cobra.Command { return &cobra.Command{Use: "beacon"} }

func (a *app) glowCommand() *cobra.Command {
	return &cobra.Command{Use: "glow", RunE: func(*cobra.Command, []string) error { return nil }}
}
`,
	}
	lines = []addition{
		{"installer/site/role.go", `\tMedia +Role = .*`, "\tBeacon Role = \"beacon\""},
		{"installer/check/hosts.go", `\t\t\{"dongle", judgeDongle, nil\},`, "\t\t{\"glow\", judgeGlow, nil},"},
		{"installer/step/kinds/kinds.go", `\treturn .*\[\]step\.Kind\{`, "\t\tbeacon.GlowKind(),"},
		{"installer/step/kinds/kinds.go", `package kinds`, "import \"ipivs.com/valtctl/installer/step/beacon\""},
		{"cmd/valtctl/root.go", `\t\ta\.completionCommand\(\),`, "\t\ta.glowCommand(),"},
		{"repos/problem/kind.go", `\tInterrupted\b.*`, "\tBeacon"},
		{"repos/release/manifest.go", `type Manifest struct \{`, "\tBeacon string `json:\"beacon\"`"},
		{"repos/release/manifest.go", `type Health struct \{`, "\tGlow []string `json:\"glow\"`"},
	}
	return files, lines
}

// addition is a line that goes into a file after the first line that is like after.
type addition struct{ file, after, text string }

// complaints are what must be said of the halves: each names the thing, and where to add
// what it lacks.
func complaints() []string {
	return []string{
		// the role
		"role beacon has no description: add installer/site/role_beacon.go and list it in specs() of installer/site/role.go",
		"role beacon has no words for people: say Short and About",
		"role beacon has no plan: add installer/plan/role_beacon.go and list it in roles() of installer/plan/role.go",
		"role beacon has no questions: add installer/wizard/role_beacon.go and list it in roleGuides() of installer/wizard/role.go",
		"role beacon has no end of the vendor's rows: add it to roleEnds() of installer/network/role.go",
		"role beacon has no place in a release: add a constant and list it in RoleNames() of repos/release/role.go",
		"role beacon has no mention in the site file's schema",
		// the steps
		"installer/step/beacon/beacon.go: beacon.Kind is in no list of kinds (installer/step/kinds",
		`the kind "glow" does not declare its way back: reversible, restore only or one way`,
		`the kind "glow" is not among the names that hosts keep`,
		// the checks
		"installer/check/host_beacon.go: judgeBeacon is in no list of checks, so nobody asks it: add it to hostChecks()",
		`no case shows the check "glow" finding anything: add one that fails or warns`,
		// the commands
		"cmd/valtctl/beacon.go: beaconCommand is no command yet: list it in commands() of cmd/valtctl/root.go",
		`no script in testdata/script runs "valtctl glow"`,
		// the exit code
		"problem kind 7 (after interrupted) lacks its row in table of repos/problem/kind.go: give it a name, an exit code and a rank",
		// the manifest's keys
		"manifest key beacon is not judged: refuse what a host could not use in repos/release/validate.go",
		`manifest key beacon is not described: add its row to the table "The manifest, key by key" of docs/releases.md`,
		"manifest key roles.*.health[].glow is not judged",
		"manifest key roles.*.health[].glow is not described",
	}
}

// Whoever adds one of a thing and stops half way is told by the tests what is missing, and
// where it goes. This one adds them where only the go command sees them (-overlay), and
// runs the tests that are to tell.
func TestWhatIsAddedHalfIsMissed(t *testing.T) {
	if testing.Short() {
		t.Skip("this is the time of the compiler; make unit runs this without the race detector")
	}
	testneeds.Of(t, testneeds.Program("go", "golang"))
	out := testedWith(t, halfAdded(t), `^(TestEvery(RoleIsDescribed|KindOfStepIsListed|KindDeclaresItsWayBack|CheckIsListed|CommandIsListed|CommandHasAScript|`+
		`CheckIsSeenToFindSomething|KeyOfTheManifestIsJudgedAndDescribed|KindHasARowOfItsOwn)|TestKindsKeepTheirNames)$`)
	for _, want := range complaints() {
		if !strings.Contains(out, want) {
			t.Errorf("nobody says %q", want)
		}
	}
	if t.Failed() {
		t.Logf("the tests said:\n%s", out)
	}
}

// halfAdded writes an overlay with the halves, and returns its file.
func halfAdded(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	texts, lines := halves()
	for _, l := range lines {
		text, ok := texts[l.file]
		if !ok {
			read, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(l.file)))
			if err != nil {
				t.Fatal(err)
			}
			text = string(read)
		}
		at := regexp.MustCompile(`(?m)^` + l.after + `$`).FindStringIndex(text)
		if at == nil {
			t.Fatalf("%s has no line like %s any more, after which this test adds one", l.file, l.after)
		}
		texts[l.file] = text[:at[1]] + "\n" + l.text + text[at[1]:]
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for file, text := range texts {
		at := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, filepath.FromSlash(file))] = at
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// testedWith runs tests of the packages that have completeness tests, with the overlay,
// and returns what they say. They must fail, each package's.
func testedWith(t *testing.T, overlay, run string) string {
	t.Helper()
	packages := []string{"./cmd/valtctl", "./installer/check", "./repos/problem", "./repos/release"}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	// Otherwise as this test itself was made, so that what is not changed is compiled already.
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-count=1", "-vet=off", "-ldflags=-s -w", "-run", run}, packages...)...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err == nil || bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")) {
		t.Fatalf("testing what is half added: %v\n%s", err, out)
	}
	if n := bytes.Count(out, []byte("FAIL\tipivs.com/")); n != len(packages) {
		t.Errorf("%d of %d packages fail", n, len(packages))
	}
	return string(out)
}
