package updater_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater/schedule"
)

const fenceFile, leaseFile = "/var/lib/valtctl/fence.json", "/var/lib/valtctl/lease.json"

// run has a run take the lease, change one host and give it back.
func (p *practice) run(name, host string) error {
	p.ahead.Add(10)
	work, err := installer.Begin(p.t.Context(), p.options(name).Options)
	if err != nil {
		return err
	}
	defer work.Close()
	held, ctx, err := work.Hold(p.t.Context(), nil)
	if err != nil {
		return err
	}
	if _, err := work.Releases(ctx, true); err != nil {
		return err
	}
	t, err := work.Plan(ctx, "6.4.1", false)
	if err != nil {
		return err
	}
	_, err = work.Do(ctx, host, t, installer.Change{Policy: txn.Defer, Partial: true, Steps: []step.Spec{
		{ID: name, Kind: "file", Title: name, Half: step.Fetch, Disrupts: step.Nothing, Params: []byte(`{"path":"/` + name + `"}`)}}})
	return errors.Join(err, held.Release(ctx))
}

// Whatever the hosts of a site remember of its runs: a run says what leads out of it, a break does,
// and the next run works on every host.
func TestABreakGivesTheSiteBack(t *testing.T) {
	t.Parallel()
	folder := func(path string) error {
		return errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Join(path, "x"), 0o755))
	}
	text := func(s string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
	}
	for name, state := range map[string]struct {
		host, file string
		spoil      func(string) error
	}{
		"a media host at the end of numbers":       {"media1", fenceFile, text(`{"highest":9007199254740991}`)},
		"a media host beyond them":                 {"media1", fenceFile, text(`{"highest":9223372036854775807}`)},
		"the lease's host at the end of numbers":   {"app1", fenceFile, text(`{"highest":9007199254740991}`)},
		"a media host far ahead of the others":     {"media2", fenceFile, text(`{"highest":5000}`)},
		"the lease's host far ahead of the others": {"app1", fenceFile, text(`{"highest":5000}`)},
		"a negative fence":                         {"media2", fenceFile, text(`{"highest":-3}`)},
		"a torn fence":                             {"media1", fenceFile, text(`{"hi`)},
		"a folder for a fence":                     {"media1", fenceFile, folder},
		"a folder for a lease":                     {"app1", leaseFile, folder},
		"a torn lease":                             {"app1", leaseFile, text(`{"token":`)},
		"a lease at the end of numbers":            {"app1", leaseFile, text(`{"token":9007199254740991}`)},
		"a folder for a guard":                     {"media2", "/var/lib/valtctl/.lease-guard", folder},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := rollingPractice(t)
			p.t = t
			if err := state.spoil(filepath.Join(p.hosts[state.host].Root, state.file)); err != nil {
				t.Fatal(err)
			}
			err := p.run("before", "media1")
			if err == nil || !strings.Contains(problem.All(err)[0].Fix, "valtctl lock break --reason") {
				t.Errorf("a run says %v (%+v)", err, problem.All(err))
			}
			broken, err := status.BreakLease(t.Context(), p.options("break").Options, "disk trouble")
			if err != nil || len(broken.Hosts) != 3 || !strings.Contains(broken.Broken, "disk trouble") {
				t.Fatalf("%+v, %v", broken, err)
			}
			for i, host := range []string{"app1", "media1", "media2"} {
				if err := p.run([]string{"a", "b", "c"}[i], host); err != nil {
					t.Errorf("after the break, %s: %v", host, err)
				}
			}
		})
	}
}

// A run that held the lease when it was broken changes nothing any more, on any host that was
// reached, also before another run has come.
func TestABrokenRunChangesNothing(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	work, err := installer.Begin(t.Context(), p.options("former").Options)
	if err != nil {
		t.Fatal(err)
	}
	defer work.Close()
	held, ctx, err := work.Hold(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Release(ctx) }()
	if _, err := status.BreakLease(t.Context(), p.options("break").Options, "the laptop was stolen"); err != nil {
		t.Fatal(err)
	}
	for _, h := range work.Hosts {
		if _, err := h.Start(ctx, txn.Request{Release: "6.4.1", Partial: true, Policy: txn.Defer}, nil, nil); problem.KindOf(err) != problem.Locked {
			t.Errorf("it changes %s: %v", h.Name, err)
		}
	}
}

// A host that was away when the lock was broken is named then, and when it is back; and another
// break has it begin anew with the rest.
func TestAHostThatWasAwayAtABreak(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	p.setDown("media2", errors.New("no route to host"))
	broken, err := status.BreakLease(t.Context(), p.options("break").Options, "disk trouble")
	if problem.KindOf(err) != problem.Check || !strings.Contains(err.Error(), "media2") || broken == nil || broken.Hosts[2].Token != 0 || broken.Hosts[1].Token == 0 {
		t.Fatalf("%+v, %v", broken, err)
	}
	p.setDown("media2", nil)
	if err := p.run("a", "media1"); err == nil || !strings.Contains(err.Error(), "media2") || !strings.Contains(problem.All(err)[0].Fix, "lock break") {
		t.Errorf("it is back, and a run says %v", err)
	}
	if _, err := status.BreakLease(t.Context(), p.options("again").Options, "media2 is back"); err != nil {
		t.Fatal(err)
	}
	if err := p.run("b", "media2"); err != nil {
		t.Error(err)
	}
}

const homeKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJsTWsvs6QGyQfRGvKW3C1mfGtKGyX/lMPQcGYZaJP+o valtctl-schedule-of-st-marys"

// enabledPractice is a site that looks after itself.
func enabledPractice(t *testing.T) (*practice, schedule.EnableOptions) {
	t.Helper()
	p, _ := rollingPractice(t)
	p.ahead.Add(10)
	p.hosts["app1"].Facts.ScheduleKey = homeKey
	p.hosts["app1"].Write(facts.ScheduleEnabled("st-marys"), `{}`)
	for _, name := range []string{"media1", "media2"} {
		p.hosts[name].Write(facts.RestrictedKey, facts.KeyID(homeKey)+"\n")
	}
	o := schedule.EnableOptions{Options: p.options("rotate").Options, Program: "/x/valtctl", Logins: map[string]inputs.Login{}}
	for _, h := range p.site.Hosts {
		o.Logins[h.Name] = inputs.Login{User: "valt", Port: 22}
	}
	for _, h := range p.hosts {
		h.Calls()
		h.Applied()
	}
	return p, o
}

// takes says whether a host takes the home's key.
func (p *practice) takes(host string) bool {
	return p.hosts[host].Side().Accepts(facts.KeyID(homeKey)) == nil
}

func TestRotatingRefusesTheFormerKeyAtOnce(t *testing.T) {
	t.Parallel()
	p, o := enabledPractice(t)
	if !p.takes("media1") || !p.takes("media2") {
		t.Fatal("the site is not enabled")
	}
	look := o
	look.DryRun = true
	if _, err := schedule.Rotate(t.Context(), look); err != nil || !p.takes("media1") || len(p.hosts["media1"].Applied()) > 0 {
		t.Fatalf("a dry run changes something: %v", err)
	}
	// A thief's own update that runs there does not keep the key alive.
	p.hosts["media2"].Hold = make(chan struct{})
	busy := make(chan error, 1)
	begun := make(chan struct{})
	p.hosts["media2"].Started = func(txn.Request) error { close(begun); return nil }
	go func() { busy <- p.run("thief", "media2") }()
	<-begun
	p.hosts["media2"].Started = nil
	if _, err := status.BreakLease(t.Context(), p.options("break").Options, "the key was stolen"); err != nil {
		t.Fatal(err)
	}
	change, err := schedule.Rotate(t.Context(), o)
	if problem.KindOf(err) != problem.Locked || !strings.Contains(err.Error(), "media2") {
		t.Errorf("media2 is at work, and it says %v", err)
	}
	if p.takes("media1") || p.takes("media2") {
		t.Error("the former key is taken still")
	}
	if !slices.ContainsFunc(change.Notes, func(n string) bool { return strings.Contains(n, "media2 is at work") }) {
		t.Errorf("it notes %q", change.Notes)
	}
	if got := p.hosts["media1"].Applied(); !slices.Contains(got, "authorized-key") {
		t.Errorf("media1 was given %v", got)
	}
	if got := p.hosts["app1"].Applied(); !slices.Contains(got, "absent") || !slices.Contains(got, "ssh-key") {
		t.Errorf("the home made %v", got)
	}
	close(p.hosts["media2"].Hold)
	<-busy
}

// Without the home the key ends everywhere, and what remains is told.
func TestWithoutTheHomeNobodyTakesItsKey(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*practice, schedule.EnableOptions) (*schedule.Change, error){
		"rotate": func(p *practice, o schedule.EnableOptions) (*schedule.Change, error) {
			return schedule.Rotate(p.t.Context(), o)
		},
		"disable": func(p *practice, o schedule.EnableOptions) (*schedule.Change, error) {
			return schedule.Disable(p.t.Context(), o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, o := enabledPractice(t)
			p.t = t
			p.setDown("app1", errors.New("no route to host"))
			got, err := change(p, o)
			if problem.KindOf(err) != problem.Check || !strings.Contains(err.Error(), "app1") || len(problem.All(err)) != 1 {
				t.Errorf("it ends with %v", err)
			}
			if got == nil || !slices.Equal(got.Unreached, []string{"app1"}) || !slices.ContainsFunc(got.Notes, func(n string) bool {
				return strings.Contains(n, "its timer and its key are still there") && strings.Contains(n, "schedule disable")
			}) {
				t.Errorf("%+v", got)
			}
			if strings.HasPrefix(facts.KeyUses, facts.Restricted) {
				t.Error("the record of what the key did goes with what it was judged by")
			}
			for _, host := range []string{"media1", "media2"} {
				if kinds := p.hosts[host].Applied(); p.takes(host) || !slices.Contains(kinds, "authorized-key") || !slices.Contains(kinds, "absent") {
					t.Errorf("%s takes the key: %v; it was given %v", host, p.takes(host), kinds)
				}
			}
			p.setDown("app1", nil)
			p.ahead.Add(10)
			if got, err = schedule.Disable(t.Context(), o); err != nil || len(got.Unreached) > 0 || !slices.Contains(p.hosts["app1"].Applied(), "absent") {
				t.Errorf("it is back: %+v, %v", got, err)
			}
			if err := p.run("next", "media1"); err != nil {
				t.Errorf("the next run: %v", err)
			}
		})
	}
}

// A home that was away when its key was revoked is not let in with it again.
func TestEnablingMakesAnotherKeyThanARevokedOne(t *testing.T) {
	t.Parallel()
	p, o := enabledPractice(t)
	p.hosts["media1"].Facts.RevokedKeys = []string{facts.KeyID(homeKey)}
	windows := siteIn(t, t.TempDir(), strings.ReplaceAll(practiceSite, "version: 6.4.1, url: \"URL\"", "channel: stable, url: \""+p.repo.URL+"\"")+
		"updates: { timezone: UTC, windows: ['Sun 02:00-05:00'] }\n", p.repo.Root, certificateOf(t, p.repo.URL))
	o.Site = windows
	got, err := schedule.Enable(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(got.Notes, func(n string) bool { return strings.Contains(n, "was revoked while it was away") }) ||
		!slices.ContainsFunc(got.Hosts, func(h schedule.HostChange) bool {
			return h.Host == "app1" && slices.Contains(h.Changes, "the former key")
		}) {
		t.Errorf("%+v", got)
	}
}

// What a host judges by holds the secrets that its own steps ask for, and no others.
func TestAHostJudgesByItsOwnSecretsAlone(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	work, err := installer.Begin(t.Context(), p.options("look").Options)
	if err != nil {
		t.Fatal(err)
	}
	defer work.Close()
	if _, err := work.Releases(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	target, err := work.Plan(t.Context(), "6.4.1", false)
	if err != nil {
		t.Fatal(err)
	}
	media, _ := target.Plan.Host("media1")
	asked, err := media.Secrets()
	if err != nil || !slices.Equal(asked, []string{"registry-password"}) {
		t.Errorf("without TLS and with a dongle it asks for %v (%v): only its images are pulled with a password", asked, err)
	}
	s := *p.site
	s.TLS = site.TLS{Certificate: s.Network.Trust[0], KeyFile: s.Registry.PasswordFile} // named, and not used without ssl
	seed, err := inputs.SeedFor(&s, "/r", "media1", asked)
	if err != nil {
		t.Fatal(err)
	}
	for name := range seed.Files {
		if strings.HasSuffix(name, "certificate.key") || strings.Contains(name, "licence") {
			t.Errorf("it is given %s", name)
		}
	}
	if seed.Files["/r/files/registry"] == nil || !slices.Contains(seed.Lacking(&s), "/r/files/certificate.key") {
		t.Errorf("it has %v and lacks %v", seed.Files, seed.Lacking(&s))
	}
}
