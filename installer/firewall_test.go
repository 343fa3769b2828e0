package installer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testneeds"
)

// managed has the site's firewall managed.
func (p *practice) managed() {
	testneeds.Of(p.t, testneeds.Root) // it gives files to root
	p.edit("clients: [10.0.0.0/16]", "clients: [10.0.0.0/16]\nadmins: [10.0.99.0/28]\nfirewall: managed")
}

func TestANewFirewallIsConfirmedOverANewConnection(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.managed()
	p.install()
	p.calls("facts", "inspect", "start", "follow", "confirm")
	if result := p.install(); result.Differs() {
		t.Errorf("a second installation finds %+v", result.Hosts)
	}
	p.calls("facts", "inspect")
}

func TestAFirewallThatShutsTheControllerOutIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.managed()
	shut := errors.New("connecting to media1: i/o timeout")
	p.onEach = func(e event.Event) {
		// The host's question may come before what its journal says of the step's beginning.
		if e.Host == "media1" && e.Kind == event.Progress && strings.Contains(e.Text, "waiting for a new connection") {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.down["media1"] = shut
		}
	}
	result, err := p.try()
	if err == nil || problem.KindOf(err).ExitCode() != 1 || !strings.Contains(err.Error(), shut.Error()) || !strings.Contains(err.Error(), "host media1") {
		t.Errorf("got %v", err)
	}
	if fix := problem.All(err)[0].Fix; !strings.Contains(fix, "admins") {
		t.Errorf("the hint is %q", fix)
	}
	if result.Hosts[0].Outcome != installer.Changed || result.Hosts[1].Outcome != installer.Failed {
		t.Errorf("%+v", result.Hosts)
	}
	if all := p.hosts["media1"].Transactions(); len(all) != 1 || all[0].State != txn.StateFailed {
		t.Errorf("%+v", all)
	}
	// The way is open again: nothing stands in the way of another try.
	p.onEach = nil
	p.down = map[string]error{}
	p.hosts["media1"].Calls()
	p.resume()
	if calls := p.hosts["media1"].Calls(); !slices.Contains(calls, "confirm") {
		t.Errorf("it was called for %q", calls)
	}
}
