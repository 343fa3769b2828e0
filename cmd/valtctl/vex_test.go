package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dockers is the module whose last version scanners flag, for what is in the daemon's packages.
const dockers = "github.com/docker/docker"

// vexDocument is as much of OpenVEX (https://github.com/openvex/spec, v0.2.0) as the statement has.
type vexDocument struct {
	Context    string `json:"@context"`
	ID         string `json:"@id"`
	Author     string `json:"author"`
	Role       string `json:"role"`
	Timestamp  string `json:"timestamp"`
	Version    int    `json:"version"`
	Statements []struct {
		Vulnerability struct {
			ID          string   `json:"@id"`
			Name        string   `json:"name"`
			Description string   `json:"description"`
			Aliases     []string `json:"aliases"`
		} `json:"vulnerability"`
		Products []struct {
			ID            string `json:"@id"`
			Subcomponents []struct {
				ID string `json:"@id"`
			} `json:"subcomponents"`
		} `json:"products"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
		Impact        string `json:"impact_statement"`
		Notes         string `json:"status_notes"`
	} `json:"statements"`
}

// dockerPackages are those of docker's module that the program is built of for a system, without
// the module's own path, and the module's version and folder.
func dockerPackages(t *testing.T, goos string) (packages []string, version, dir string) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}\t{{.ImportPath}}", ".")
	list.Env = append(os.Environ(), "GOOS="+goos, "GOFLAGS=-mod=readonly", "GOPROXY=off")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("asking what the program for %s is built of: %v", goos, err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 4 && f[0] == dockers {
			packages, version, dir = append(packages, strings.TrimPrefix(f[3], dockers+"/")), f[1], f[2]
		}
	}
	slices.Sort(packages)
	return packages, version, dir
}

// What is said to scanners is so: the code at fault is in packages of the daemon, which are in the
// module and not in the program, on any system that it is built for. Another version, one package
// more or less, or a package beyond the client's makes the statement stale.
func TestTheAnswerToScannersIsWhatTheProgramIsBuiltOf(t *testing.T) {
	text, err := os.ReadFile("../../packaging/vex/valtctl.openvex.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc vexDocument
	strict := json.NewDecoder(strings.NewReader(string(text)))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if doc.Context != "https://openvex.dev/ns/v0.2.0" || doc.ID == "" || doc.Author == "" || doc.Timestamp == "" || doc.Version < 1 || len(doc.Statements) == 0 {
		t.Errorf("it is no OpenVEX document: %.300s", text)
	}
	packages, version, dir := dockerPackages(t, "linux")
	for _, goos := range []string{"windows", "darwin"} {
		if other, _, _ := dockerPackages(t, goos); !slices.Equal(other, packages) {
			t.Errorf("for %s it is built of %q, and for linux of %q", goos, other, packages)
		}
	}
	for _, p := range packages {
		if p != "client" && p != "api" && !strings.HasPrefix(p, "api/types") {
			t.Errorf("%s/%s is in the program, which is neither the client nor its types: look at each statement anew", dockers, p)
		}
	}
	notes := "Of " + dockers + " " + version + " the program is built of " + strings.Join(packages, ", ") + "."
	purl := "pkg:golang/" + dockers + "@" + strings.ReplaceAll(version, "+", "%2B")
	faulty := regexp.MustCompile(dockers + `/[a-z/]*[a-z]`)
	names := map[string]bool{}
	for _, s := range doc.Statements {
		name := s.Vulnerability.Name
		if names[name] || s.Vulnerability.ID != "https://pkg.go.dev/vuln/"+name || len(s.Vulnerability.Aliases) == 0 || s.Vulnerability.Description == "" {
			t.Errorf("%q is named twice, or by half", name)
		}
		names[name] = true
		if s.Status != "not_affected" || s.Justification != "vulnerable_code_not_present" {
			t.Errorf("%s: %s, %s", name, s.Status, s.Justification)
		}
		if s.Notes != notes {
			t.Errorf("%s: look at it anew, and then write\nstatus_notes: %s\ninstead of\n%s", name, notes, s.Notes)
		}
		if len(s.Products) != 1 || s.Products[0].ID != "pkg:golang/ipivs.com/valtctl" || len(s.Products[0].Subcomponents) != 1 || s.Products[0].Subcomponents[0].ID != purl {
			t.Errorf("%s is about %+v, and should be about %s", name, s.Products, purl)
		}
		at := faulty.FindString(s.Impact)
		inside := strings.TrimPrefix(at, dockers+"/")
		if info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(inside))); at == "" || err != nil || !info.IsDir() {
			t.Errorf("%s names no package of the module (%q): %v", name, at, err)
		}
		if slices.ContainsFunc(packages, func(p string) bool { return p == inside || strings.HasPrefix(p, inside+"/") }) {
			t.Errorf("%s: %s is in the program", name, at)
		}
	}
}
