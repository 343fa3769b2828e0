package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mains lists the programs of the module's cmd folder, as go build finds them.
func mains(t *testing.T, flags ...string) []string {
	t.Helper()
	argv := slices.Concat([]string{"list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`}, flags, []string{"ipivs.com/valtctl/cmd/..."})
	out, err := exec.CommandContext(t.Context(), "go", argv...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range strings.Fields(string(out)) {
		names = append(names, strings.TrimPrefix(path, "ipivs.com/valtctl/cmd/"))
	}
	return names
}

// What people build are three programs. Those of the practice site's images come with a
// tag, so that `go build -o bin/ ./cmd/...` leaves nothing that nobody starts.
func TestThreeProgramsAreBuilt(t *testing.T) {
	three := []string{"valtctl", "valtlab", "valtrelease"}
	if got := mains(t); !slices.Equal(got, three) {
		t.Errorf("./cmd/... has the programs %q, not %q", got, three)
	}
	const in = "valtlab/standin/programs/"
	want := []string{"valtctl", "valtlab", in + "app", in + "camera", in + "engine", "valtrelease"}
	if got := mains(t, "-tags", "standin"); !slices.Equal(got, want) {
		t.Errorf("with those of the images they are %q, not %q", got, want)
	}
}
