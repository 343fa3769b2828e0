package bench

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"ipivs.com/valtctl/cmd/valtlab/images"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/plan"
	sitefile "ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/repos/release"
)

// labPlan is what valtctl plans for a practice site that was just brought up. Only the
// contents of certificates and images are made up, which no step's name depends on.
func labPlan(t *testing.T) *plan.Plan {
	t.Helper()
	l, err := lab.Open(lab.Options{Dir: t.TempDir(), Name: "plan", Subnet: netip.MustParsePrefix("10.123.0.0/24"), Cache: t.TempDir(),
		Now: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }, Events: func(lab.Event) {}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := l.StandardSite(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sitefile.Parse("site.yaml", text, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	manifest, compose := stableRelease(t)
	hosts := map[string]plan.HostFacts{}
	for _, h := range s.Hosts {
		hosts[h.Name] = plan.HostFacts{Codename: "noble", Arch: "amd64"}
	}
	p, err := plan.Build(t.Context(), plan.Input{Site: s, Manifest: manifest, Compose: compose, Hosts: hosts,
		Public: plan.Public{Certificate: "PEM", Trust: []system.Authority{{Name: "lab", PEM: "PEM"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// stableRelease is the practice site's release as its vendor describes it.
func stableRelease(t *testing.T) (*release.Manifest, map[sitefile.Role][]byte) {
	t.Helper()
	var built []images.Image
	for _, name := range []string{"db", "engine", "messaging", "web"} {
		image, err := random.Image(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		built = append(built, images.Image{Repository: images.Prefix + name, Image: image})
	}
	described, err := releases.Describe(releases.Stable, built, releases.Keys{IPIVS: "a key", Docker: "another"})
	if err != nil {
		t.Fatal(err)
	}
	var m release.Manifest
	if err := json.Unmarshal(described.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	compose := map[sitefile.Role][]byte{}
	for _, role := range sitefile.Roles() {
		compose[role] = described.Files["compose."+string(role)+".yaml"]
	}
	return &m, compose
}

// task is one of the playbook's, in its own words.
type task struct{ name, text string }

func readTasks(t *testing.T, text []byte, at string) []task {
	t.Helper()
	var list []yaml.MapSlice
	path, err := yaml.PathString(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.Read(strings.NewReader(string(text)), &list); err != nil {
		t.Fatal(err)
	}
	var tasks []task
	for _, fields := range list {
		content, err := yaml.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := fields.ToMap()["name"].(string)
		tasks = append(tasks, task{name, string(content)})
	}
	return tasks
}

// playedTasks are the tasks that a host of the role is played: the common ones, and in the
// place of the task "role" those of the role's own file.
func playedTasks(t *testing.T, role string) []task {
	t.Helper()
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "bench", name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	tasks := readTasks(t, read("site.yaml"), "$[0].tasks")
	at := slices.IndexFunc(tasks, func(one task) bool { return one.name == "role" })
	if at < 0 {
		t.Fatal("site.yaml has no task role, which includes a role's own")
	}
	return slices.Replace(tasks, at, at+1, readTasks(t, read(role+".yaml"), "$")...)
}

// TestPlaybookHasATaskForEveryStep is what `valtlab bench` needs to compare like with like.
// A plan's steps and the playbook's tasks have the same names.
func TestPlaybookHasATaskForEveryStep(t *testing.T) {
	for _, h := range labPlan(t).Hosts {
		t.Run(h.Host, func(t *testing.T) {
			tasks := playedTasks(t, h.Roles[0])
			var steps, played []string
			for _, s := range h.Steps {
				steps = append(steps, s.ID)
			}
			for _, one := range tasks {
				played = append(played, one.name)
			}
			slices.Sort(steps)
			slices.Sort(played)
			if diff := cmp.Diff(steps, played); diff != "" {
				t.Errorf("bring testdata/bench up to the plan: a step without a task has a minus, a task without a step a plus\n%s", diff)
			}
		})
	}
}

// TestPlaybookLooksAtTheSamePackagesAndFiles compares what the tasks of those steps name
// of which the plan holds the whole list.
func TestPlaybookLooksAtTheSamePackagesAndFiles(t *testing.T) {
	for _, h := range labPlan(t).Hosts {
		texts := map[string]string{}
		for _, one := range playedTasks(t, h.Roles[0]) {
			texts[one.name] = one.text
		}
		for _, s := range h.Steps {
			var params struct {
				Path     string              `json:"path"`
				Packages []apt.PackageWanted `json:"packages"`
			}
			if err := json.Unmarshal(s.Params, &params); err != nil {
				t.Fatal(err)
			}
			for _, p := range params.Packages {
				if !strings.Contains(texts[s.ID], p.Name) {
					t.Errorf("%s: the playbook's task %s does not look at the package %s", h.Host, s.ID, p.Name)
				}
				if p.Version != "" && !strings.Contains(texts[s.ID], p.Name+"={{ "+pinned[p.Name]+" }}") {
					t.Errorf("%s: the release wants %s in one version, and the playbook's task %s does not", h.Host, p.Name, s.ID)
				}
			}
			if params.Path != "" && !strings.Contains(texts[s.ID], params.Path) {
				t.Errorf("%s: the playbook's task %s does not look at %s", h.Host, s.ID, params.Path)
			}
		}
	}
}
