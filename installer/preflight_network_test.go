package installer

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/host/hosttest"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

const twoHosts = `
site: st-marys
name: valt.st-marys.example
ssl: true
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], cameras: [10.0.9.11] }
clients: [10.0.0.0/16]
`

// changing is an installation of the site in which media1 would do these steps and app1 nothing.
func changing(t *testing.T, kinds ...step.KindName) *installation {
	t.Helper()
	s, err := site.Parse("site.yaml", []byte(twoHosts), "/home/valt")
	if err != nil {
		t.Fatal(err)
	}
	in := &installation{site: s, observer: event.Silent{}, result: &Result{Hosts: []HostResult{{Host: "app1"}, {Host: "media1"}}}}
	for _, kind := range kinds { // whose ids say nothing of it
		in.result.Hosts[1].Changes = append(in.result.Hosts[1].Changes, StepChange{ID: "image/packages/licence", Kind: kind})
	}
	return in
}

func TestChangesNeedTheirOwnFlowsAlone(t *testing.T) {
	for name, c := range map[string]struct {
		step       step.KindName
		must, told []string // what the rows begin with
	}{
		"an image needs the registry":                   {docker.KindImage, []string{"updates.docker-registry"}, nil},
		"packages need every source, and no changelogs": {apt.KindPackages, []string{"updates.ubuntu-archive", "updates.ubuntu-security", "updates.ivs-apt", "updates.docker-apt"}, []string{"updates.ubuntu-changelogs"}},
		"a source needs every source as well":           {apt.KindSource, []string{"updates.ubuntu-archive", "updates.ubuntu-security", "updates.ivs-apt", "updates.docker-apt"}, []string{"updates.ubuntu-changelogs"}},
		"the login needs the registry":                  {docker.KindRegistryLogin, []string{"updates.docker-registry"}, nil},
		"the engine's settings need nobody":             {docker.KindEngineConfig, nil, nil},
		"a licence is told and holds up nothing":        {files.KindLicence, nil, []string{"wowza."}},
		"a file of the site needs nobody":               {files.KindFile, nil, nil},
		"what is made of an image needs nobody":         {docker.KindContainer, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := changing(t, c.step)
			for _, f := range network.Flows(r.site) {
				must, needs := r.needs(f)
				from := f.Source.Kind == network.KindHost && f.Source.Name == "media1"
				if want := from && begins(f, c.must); must != want {
					t.Errorf("%s: must have it: %v", f.ID, must)
				}
				if want := from && (begins(f, c.must) || begins(f, c.told)); needs != want {
					t.Errorf("%s: needs it: %v", f.ID, needs)
				}
			}
		})
	}
}

func begins(f network.Flow, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(f.Rows[0], p) {
			return true
		}
	}
	return false
}

// answering asks nothing and says the same of every flow.
type answering struct{ verdict probe.Verdict }

func (a answering) Probe(_ context.Context, r probe.Request, outcome func(probe.Outcome) error) error {
	for _, s := range r.Specs {
		if err := outcome(probe.Outcome{ID: s.ID, Verdict: a.verdict, Cause: "a proxy is in the way"}); err != nil {
			return err
		}
	}
	return nil
}

func (answering) Listen(context.Context, probe.ListenRequest, func(probe.ListenEvent) error) error {
	return errors.New("nobody is to listen for an installation")
}

func TestInstallationStopsBeforeItBeginsWhereAFlowThatItNeedsFails(t *testing.T) {
	machines := func(v probe.Verdict) map[string]check.Machine {
		return map[string]check.Machine{"app1": answering{v}, "media1": answering{v}}
	}
	r := changing(t, docker.KindImage, files.KindLicence)
	err := r.reach(t.Context(), check.Prober{Site: r.site, Hosts: machines(probe.Intercepted), NoListen: true})
	all := problem.All(err)
	if len(all) != 1 || all[0].Kind != problem.Check || !strings.Contains(all[0].Error(), "media1 → docker.ipivs.com, tcp/443: a proxy is in the way") || all[0].Fix == "" {
		t.Errorf("got %v", err)
	}
	if err := r.reach(t.Context(), check.Prober{Site: r.site, Hosts: machines(probe.Works), NoListen: true}); err != nil {
		t.Errorf("everything works, and it says %v", err)
	}
	if err := changing(t).reach(t.Context(), check.Prober{}); err != nil {
		t.Errorf("nothing changes, and it says %v", err)
	}
}

func TestProbersKnowTheHostsThatAreConnected(t *testing.T) {
	s, err := site.Parse("site.yaml", []byte(twoHosts), "/home/valt")
	if err != nil {
		t.Fatal(err)
	}
	host := hosttest.New(t, time.Now)
	dial := func(ctx context.Context, h site.Host, _ func(done, total int64)) (io.ReadWriteCloser, error) {
		if h.Name == "app1" {
			return nil, errors.New("no route to host")
		}
		return host.Connect(ctx)
	}
	f := fleet.New(fleet.Options{Site: s, Dial: dial, Observer: event.Silent{}}, s.Hosts)
	defer f.Close()
	if err := f.Connect(t.Context()); err == nil {
		t.Error("a host that cannot be reached is connected to")
	}
	p := prober(s, &release.Manifest{}, nil, f.Hosts)
	if len(p.Hosts) != 1 || p.Hosts["media1"] == nil || p.Codenames["media1"] != "noble" || !p.NoListen {
		t.Errorf("got %+v", p)
	}
}
