package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A module comes into the program with a reason, and its reason goes with it.
func TestEveryModuleInTheProgramHasAReason(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", ".")
	list.Env = append(os.Environ(), "GOOS=linux", "GOFLAGS=-mod=readonly", "GOPROXY=off")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("asking what the program is built of: %v", err)
	}
	page, err := os.ReadFile("../../docs/modules.md")
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 4 && strings.Contains(cells[1], ".") {
			reasons[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[2])
		}
	}
	in := map[string]bool{}
	for module := range strings.FieldsSeq(string(out)) {
		if reasons[module] == "" && !in[module] {
			t.Errorf("%s is in the program without a reason: say in docs/modules.md what for, or do without it", module)
		}
		in[module] = true
	}
	for module := range reasons {
		if !in[module] {
			t.Errorf("docs/modules.md has %s, which is no longer in the program", module)
		}
	}
}
