package installer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
)

func TestInstallChangesEveryHostOnceAndThenNothing(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	first := p.install()
	for _, h := range first.Hosts {
		if h.Outcome != installer.Changed || len(h.Changes) != h.Steps || h.Transaction == "" {
			t.Errorf("%+v", h)
		}
		if n := p.hosts[h.Host].Changes(); n != h.Steps {
			t.Errorf("%s: %d steps changed it, of %d", h.Host, n, h.Steps)
		}
	}
	p.calls("facts", "inspect", "start", "follow")

	second := p.install(func(o *installer.Options) {
		o.Confirm = func(context.Context, *installer.Result) error { return errNo } // not asked where nothing changes
	})
	if second.Differs() || second.Digest != first.Digest {
		t.Errorf("the second install differs: %+v", second)
	}
	p.calls("facts", "inspect")
	for name, h := range p.hosts {
		if n := len(h.Transactions()); n != 1 {
			t.Errorf("%s has %d transactions", name, n)
		}
	}
}

func TestAHostIsGivenOnlyItsOwnSecrets(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.install()
	if got := p.hosts["app1"].Secrets(); len(got) != 1 || string(got["registry-password"]) != "registry-secret" {
		t.Errorf("app1 was given %d secrets", len(got))
	}
	if got := p.hosts["media1"].Secrets(); len(got) != 2 || !strings.HasPrefix(string(got["licence"]), "EDEV4-") {
		t.Errorf("media1 was given %d secrets", len(got))
	}
}

func TestADryRunShowsDiffsAndBeginsNothing(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	result := p.install(func(o *installer.Options) { o.DryRun = true })
	for _, h := range result.Hosts {
		if h.Outcome != installer.Planned || len(h.Changes) != h.Steps || !strings.HasPrefix(h.Changes[0].Diff, "+ ") {
			t.Errorf("%+v", h)
		}
	}
	p.calls("facts", "inspect")
	p.untouched()
}

func TestWhatOneHostRefusesStopsTheRunBeforeAnyChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*practice)
		want  string // in the error
		kind  problem.Kind
		calls []string // of the other host
	}{
		"a step that cannot look": {func(p *practice) {
			p.hosts["media1"].Broken["recordings"] = &problem.Error{Kind: problem.Check, Doing: "preparing recordings at", Object: "/srv/valt", Err: errors.New("no file system is mounted there")}
		}, "host media1: preparing recordings at /srv/valt", problem.Check, []string{"facts", "inspect"}},
		"another Ubuntu": {func(p *practice) { p.hosts["media1"].Facts.OS.VersionID = "20.04" },
			"checking host media1: it runs ubuntu 20.04", problem.Check, []string{"facts"}},
		"another site's host": {func(p *practice) {
			p.hosts["media1"].Facts.Installed = &facts.Installed{Site: "elsewhere", Host: "media1", Release: "6.4.2"}
		}, `it belongs to the site "elsewhere"`, problem.Check, []string{"facts"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPractice(t)
			c.spoil(p)
			_, err := p.try()
			if err == nil || !strings.Contains(err.Error(), c.want) || problem.KindOf(err) != c.kind {
				t.Errorf("got %v", err)
			}
			p.calls(c.calls...)
			p.untouched()
		})
	}
}

func TestEveryHostThatCannotBeReachedIsNamed(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	for name := range p.hosts {
		p.down[name] = &problem.Error{Doing: "connecting to host", Object: name, Err: errNo}
	}
	_, err := p.try()
	if all := problem.All(err); len(all) != 2 || all[0].Object != "app1" || all[1].Object != "media1" {
		t.Errorf("got %v", err)
	}
}

func TestWhoSaysNoChangesNothing(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	asked := 0
	_, err := p.try(func(o *installer.Options) {
		o.Confirm = func(_ context.Context, found *installer.Result) error {
			if asked++; len(found.Hosts) != 2 || !found.Differs() {
				t.Errorf("asked about %+v", found)
			}
			return errNo
		}
	})
	if !errors.Is(err, errNo) || asked != 1 {
		t.Errorf("asked %d times, ended with %v", asked, err)
	}
	p.calls("facts", "inspect")
	p.untouched()
}

func TestOnlyTheHostsNamedAreTouched(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	result := p.install(func(o *installer.Options) { o.Hosts = []string{"media1"} })
	if len(result.Hosts) != 1 || result.Hosts[0].Host != "media1" || p.hosts["app1"].Changes() != 0 {
		t.Errorf("%+v", result.Hosts)
	}
	// It keeps the lease, and is asked which token it has seen: nothing else is its business.
	if calls := p.hosts["app1"].Calls(); slices.ContainsFunc(calls, func(c string) bool { return c != "facts" }) {
		t.Errorf("the host that was not named was asked for %v", calls)
	}
	if _, err := p.try(func(o *installer.Options) { o.Hosts = []string{"media9"} }); problem.KindOf(err) != problem.Input {
		t.Errorf("an unknown host: %v", err)
	}
}

func TestWhatWouldInterruptIsLeftAndNamed(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.hosts["media1"].Disrupts["container"] = step.Container
	result := p.install()
	media := result.Hosts[1]
	if len(media.Deferred) != 1 || media.Deferred[0].Disrupts != step.Container || !result.Differs() {
		t.Errorf("%+v", media)
	}
	if len(result.Hosts[0].Deferred) != 0 {
		t.Errorf("%+v", result.Hosts[0])
	}
}

func TestAFailedStepNamesItsHostAndTheOtherHostIsFinished(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.hosts["media1"].Fails["licence"] = &problem.Error{Doing: "writing", Object: "the licence", Err: errNo, Fix: "look at the disk"}
	result, err := p.try()
	if err == nil || !strings.HasPrefix(err.Error(), "host media1: ") || !strings.HasSuffix(err.Error(), "writing the licence: no") || problem.All(err)[0].Fix != "look at the disk" {
		t.Errorf("got %v", err)
	}
	if result.Hosts[0].Outcome != installer.Changed || result.Hosts[1].Outcome != installer.Failed || result.Hosts[1].Reason == "" {
		t.Errorf("%+v", result.Hosts)
	}
	delete(p.hosts["media1"].Fails, "licence")
	again := p.install()
	if again.Hosts[0].Outcome != installer.Unchanged || again.Hosts[1].Outcome != installer.Changed {
		t.Errorf("after repairing it: %+v", again.Hosts)
	}
}

func TestARepositoryOlderThanAHostHasSeenIsRefused(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	old := map[string][]byte{}
	for _, name := range []string{"metadata/timestamp.json"} {
		old[name] = p.repo.Read(t, name)
	}
	p.repo.Pass(time.Hour)
	p.repo.Change(t, func(r *publish.Repository) error { return r.SetChannel("canary", "6.4.2") })
	p.install()
	for name, content := range old {
		p.repo.Write(t, name, content)
	}
	// A controller that has seen nothing yet.
	p.stateDir = t.TempDir()
	_, err := p.try()
	if problem.KindOf(err).ExitCode() != 6 || !strings.Contains(err.Error(), "app1") {
		t.Errorf("got %v", err)
	}
}

func TestTheInstalledReleaseIsNotChangedByInstall(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.install()
	p.edit("version: 6.4.2", "version: 6.4.1")
	_, err := p.try()
	if problem.KindOf(err) != problem.Check || !strings.Contains(err.Error(), "it has release 6.4.2, and install changes no release (asked for 6.4.1)") {
		t.Errorf("got %v", err)
	}
}

var errNo = errors.New("no")
