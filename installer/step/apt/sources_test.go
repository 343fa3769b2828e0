package apt

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
)

const (
	dockerList    = sourcesFolder + "/docker.list"
	dockerSources = sourcesFolder + "/docker.sources"
	oldKey        = "/usr/share/keyrings/docker.gpg"
	otherKey      = "/etc/apt/keyrings/docker.asc"
)

// stanzaOf is a source as a .sources file has it.
func stanzaOf(more string) string {
	return "Types: deb\nURIs: https://download.docker.com/linux/ubuntu\nSuites: noble\nComponents: stable\n" + more
}

func TestSourcesThatAptCannotReadAreToldWithTheirFiles(t *testing.T) {
	for name, c := range map[string]struct {
		files      map[string]string
		unreadable string
		clash      []string // the files, in apt's order
		newer      bool     // apt 3.0 reads them as well, and then there is nothing to tell
	}{
		"well": {files: map[string]string{dockerSources: stanzaOf("Signed-By: " + oldKey + "\n")}},
		"the same key twice": {files: map[string]string{dockerSources: stanzaOf("Signed-By: " + oldKey + "\n"),
			dockerList: "deb [arch=amd64 signed-by=" + oldKey + "] https://download.docker.com/linux/ubuntu/ noble stable\n"}},
		"two keys": {files: map[string]string{dockerSources: stanzaOf("Signed-By: " + oldKey + "\n"),
			dockerList: "deb [arch=amd64 signed-by=" + otherKey + "] https://download.docker.com/linux/ubuntu/ noble stable # by hand\n"},
			unreadable: "Signed-By", clash: []string{dockerList, dockerSources}},
		"one without a key after one with it": {files: map[string]string{dockerList: "deb [signed-by=" + oldKey + "] https://download.docker.com/linux/ubuntu noble stable\n",
			dockerSources: stanzaOf("")}, unreadable: "Signed-By", clash: []string{dockerList, dockerSources}, newer: true},
		"one without a key before one with it": {files: map[string]string{sourcesList: "deb https://download.docker.com/linux/ubuntu noble stable\n",
			dockerSources: stanzaOf("Signed-By: " + oldKey + "\n")}},
		"one that is turned off": {files: map[string]string{dockerSources: stanzaOf("Enabled: no\nSigned-By: " + otherKey + "\n"),
			dockerList: "deb [signed-by=" + oldKey + "] https://download.docker.com/linux/ubuntu noble stable\n"}},
		"nonsense": {files: map[string]string{dockerList: "deb nonsense\n"}, unreadable: dockerList},
	} {
		t.Run(name, func(t *testing.T) {
			r := newAptRoot(t)
			for file, content := range c.files {
				steptest.Place(t, r.Machine, file, content)
			}
			found, err := LookAtSources(t.Context(), r.Machine)
			if c.newer && err == nil && found.Unreadable == "" {
				c.unreadable, c.clash = "", nil
			}
			if err != nil || (found.Unreadable == "") != (c.unreadable == "") || !strings.Contains(found.Unreadable, c.unreadable) {
				t.Fatalf("%+v, %v", found, err)
			}
			var files []string
			for _, l := range found.Clash {
				files = append(files, l.File)
			}
			if strings.Join(files, " ") != strings.Join(c.clash, " ") {
				t.Errorf("it blames %v", found.Clash)
			}
		})
	}
}

func TestPackageVariantsOfTheHostAreSeen(t *testing.T) {
	r := newAptRoot(t)
	steptest.Place(t, r.Machine, "/etc/apt/apt.conf.d/99variants", "APT::Architecture-Variants { \"amd64v3\"; };\n")
	found, err := LookAtSources(t.Context(), r.Machine)
	if err != nil || len(found.Variants) != 1 || found.Variants[0] != "amd64v3" {
		t.Errorf("%+v, %v", found, err)
	}
	err = JudgeSources(t.Context(), r.Machine, planFor(t, ""))
	if err == nil || !strings.Contains(err.Error(), "amd64v3") {
		t.Errorf("a host with variants is taken: %v", err)
	}
	if err := JudgeSources(t.Context(), r.Machine, planFor(t, "bundle")); err == nil {
		t.Error("a host with variants is taken where its packages come from a bundle")
	}
}

// planFor is a source and a package, as a plan has them.
func planFor(t *testing.T, bundle string) []step.Spec {
	t.Helper()
	spec := func(kind step.KindName, params any) step.Spec {
		raw, err := json.Marshal(params)
		if err != nil {
			t.Fatal(err)
		}
		return step.Spec{ID: string(kind), Kind: kind, Params: raw}
	}
	return []step.Spec{
		spec(KindSource, SourceParams{Name: "docker", URI: "https://download.docker.com/linux/ubuntu", Suites: []string{"noble"}, Components: []string{"stable"},
			Keyring: oldKey, Replaces: []string{sourcesList}}),
		spec(KindPackages, PackagesParams{Packages: []PackageWanted{{Name: "docker-ce"}}, Bundle: bundle}),
	}
}

func TestPlanIsRefusedWhereAptWouldReadNoSources(t *testing.T) {
	clashing := "deb [signed-by=" + otherKey + "] https://download.docker.com/linux/ubuntu noble stable\n"
	for name, c := range map[string]struct {
		files  map[string]string
		bundle string
		says   []string // nothing: it is not refused
	}{
		"nothing there":                      {},
		"a file that contradicts the plan's": {files: map[string]string{dockerList: clashing}, says: []string{dockerList, dockerSources, "keep " + dockerSources, "Nothing was changed"}},
		"the packages come from a bundle":    {files: map[string]string{dockerList: clashing}, bundle: "bundle"},
		"two that the plan takes away":       {files: map[string]string{sourcesList: clashing, dockerSources: stanzaOf("Signed-By: /usr/share/keyrings/third.gpg\n")}},
		"nonsense that the plan takes away":  {files: map[string]string{sourcesList: "deb http://nonsense\n\n deb http://a noble main\n"}},
		"nonsense that stays":                {files: map[string]string{sourcesFolder + "/own.list": "deb http://nonsense\n"}, says: []string{"own.list", "Nothing was changed"}},
		"two of others', of another repository": {files: map[string]string{sourcesFolder + "/a.list": "deb [signed-by=/a.gpg] http://ppa noble main\n", sourcesFolder + "/b.list": "deb [signed-by=/b.gpg] http://ppa/ noble main\n"},
			says: []string{"a.list with Signed-By /a.gpg", "b.list with Signed-By /b.gpg"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newAptRoot(t)
			for file, content := range c.files {
				steptest.Place(t, r.Machine, file, content)
			}
			err := JudgeSources(t.Context(), r.Machine, planFor(t, c.bundle))
			if (err == nil) != (c.says == nil) {
				t.Fatalf("it says %v", err)
			}
			var p *problem.Error
			if err != nil && (!errors.As(err, &p) || p.Kind != problem.Check) {
				t.Fatalf("%#v", err)
			}
			for _, word := range c.says {
				if !strings.Contains(p.Error()+p.Fix, word) {
					t.Errorf("it lacks %q: %v; %s", word, err, p.Fix)
				}
			}
		})
	}
}

// A host whose apt cannot be asked is not one whose sources are well.
func TestSourcesThatCannotBeAskedForAreNoGoodOnes(t *testing.T) {
	r := newAptRoot(t)
	r.Machine.Run = brokenRunner{}
	if _, err := LookAtSources(t.Context(), r.Machine); err == nil {
		t.Error("nothing is wrong")
	}
	if err := JudgeSources(t.Context(), r.Machine, planFor(t, "")); err == nil {
		t.Error("nothing is refused")
	}
}

// brokenRunner starts no program.
type brokenRunner struct{}

func (brokenRunner) Run(context.Context, step.Command) (step.Output, error) {
	return step.Output{Code: -1}, errors.New("fork: no memory")
}
