package updater_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/host/hosttest"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
)

// replacing is the replacement of media1 by a bare server.
func (p *practice) replacing(t *testing.T) updater.ReplaceOptions {
	t.Helper()
	p.hosts[successor] = hosttest.New(t, p.hostClock)
	what := wizard.Replacement{Old: "media1", New: successor, Address: "10.0.4.31", Since: "2026-11-30"}
	text, err := os.ReadFile(p.site.File())
	if err != nil {
		t.Fatal(err)
	}
	if text, err = what.Apply(text); err != nil {
		t.Fatal(err)
	}
	after, err := site.Parse(p.site.File(), text, "")
	if err != nil {
		t.Fatal(err)
	}
	o := updater.ReplaceOptions{Options: p.options("replacing"), What: what, Before: p.site, SkipChecks: true}
	o.Site = after
	o.Write = func() error { t.Error("the site file was written"); return nil }
	return o
}

// Who must not take a place, and whose place cannot be taken, is refused with what to do, and nothing
// is changed.
func TestWhoMayNotTakeAPlace(t *testing.T) {
	foreign := &facts.EngineFacts{Version: "28", Containers: []facts.Container{{Name: "wiki", State: "running"}}}
	tests := map[string]struct {
		spoil     func(p *practice, o *updater.ReplaceOptions)
		want, fix string
		kind      problem.Kind
	}{
		"it cannot be reached": {func(p *practice, _ *updater.ReplaceOptions) { p.setDown(successor, errors.New("no route to host")) },
			"no route to host", "valtctl trust 10.0.4.31", problem.Check},
		"containers of others run there": {func(p *practice, _ *updater.ReplaceOptions) { p.hosts[successor].SetEngine(foreign) },
			"containers run there that are not this site's: wiki", "move them to another server", problem.Check},
		"another Ubuntu": {func(p *practice, _ *updater.ReplaceOptions) {
			p.hosts[successor].Facts.OS = facts.OS{ID: "ubuntu", VersionID: "20.04", Codename: "focal"}
		}, "it runs ubuntu 20.04, which release 6.4.1 is not made for", "use a server with one of", problem.Check},
		"it is a clone": {func(p *practice, _ *updater.ReplaceOptions) {
			p.hosts[successor].Facts.MachineID, p.hosts["media1"].Facts.MachineID = "5a5a", "5a5a"
		}, "it has the machine-id of media1", "name a freshly installed server", problem.Check},
		"another site's": {func(p *practice, _ *updater.ReplaceOptions) {
			p.hosts[successor].Write("/var/lib/valtctl/host.json", `{"site":"elsewhere","host":"media3","release":"6.4.1"}`)
		}, `it belongs to the site "elsewhere"`, "", problem.Check},
		"its network does not work": {func(p *practice, o *updater.ReplaceOptions) {
			o.SkipChecks = false
			p.hosts[successor].Reaches = func(probe.Spec) probe.Verdict { return probe.Filtered }
		}, "trying", "", problem.Check},
		"the application": {func(_ *practice, o *updater.ReplaceOptions) { o.What.Old = "app1" },
			"this valtctl replaces media servers alone", "a later version moves the application server", problem.Input},
		"a host of the site": {func(_ *practice, o *updater.ReplaceOptions) { o.What.New = "media2" },
			"media2 is a host of the site already", "name a server that the site does not have", problem.Input},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPractice(t)
			o := p.replacing(t)
			tt.spoil(p, &o)
			p.seen = func(e event.Event) {
				if e.Kind == event.Start {
					t.Errorf("%s began a transaction", e.Host)
				}
			}
			_, err := updater.Replace(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), tt.want) || problem.KindOf(err) != tt.kind {
				t.Errorf("%v, of kind %v", err, problem.KindOf(err))
			}
			var fixes []string
			for _, one := range problem.All(err) {
				fixes = append(fixes, one.Fix)
			}
			if !strings.Contains(strings.Join(fixes, "\n"), tt.fix) {
				t.Errorf("what to do is %q", fixes)
			}
		})
	}
}
