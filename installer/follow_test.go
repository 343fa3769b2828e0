package installer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

// held makes every step of a host wait until the function returned is called.
func (p *practice) held(name string) (release func()) {
	hold := make(chan struct{})
	p.hosts[name].Hold = hold
	release = sync.OnceFunc(func() { close(hold) })
	p.t.Cleanup(release) // before the host's own clean-up, which waits for its transaction
	return release
}

func TestALostConnectionIsDialledAgainAndReplaysNothing(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	release := p.held("media1")
	cut := sync.OnceFunc(p.hosts["media1"].Cut)
	seen := map[string]int{}
	p.onEach = func(e event.Event) {
		if e.Host != "media1" {
			return
		}
		switch {
		case e.Kind == event.Step:
			p.mu.Lock()
			seen[e.Step+" "+e.Text]++
			p.mu.Unlock()
			cut()
		case e.Kind == event.Note && e.Text == "connected again":
			release()
		}
	}
	result := p.install()
	media := result.Hosts[1]
	if media.Outcome != installer.Changed || p.hosts["media1"].Changes() != media.Steps {
		t.Errorf("%+v", media)
	}
	if from := p.hosts["media1"].Followed(); len(from) != 2 || from[0] != 0 || from[1] == 0 {
		t.Errorf("followed from records %v", from)
	}
	for what, n := range seen {
		if n != 1 {
			t.Errorf("%q was told %d times", what, n)
		}
	}
	if !p.saw(event.Lost, "the host goes on") {
		t.Error("nobody was told that the connection was lost")
	}
	if n := len(p.hosts["app1"].Followed()); n != 1 {
		t.Errorf("the other host was followed %d times", n)
	}
}

func TestWhoLeavesIsToldThatTheHostGoesOnAndResumeFollowsIt(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	release := p.held("media1")
	o := p.options()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	p.onEach = func(e event.Event) {
		if e.Host == "media1" && e.Kind == event.Step {
			leave()
		}
	}
	result, err := installer.Install(ctx, o)
	if problem.KindOf(err).ExitCode() != 130 || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if all := problem.All(err); !strings.Contains(all[len(all)-1].Fix, "the host goes on by itself; follow it with: valtctl resume") {
		t.Errorf("the hint is %q", all[len(all)-1].Fix)
	}
	if media := result.Hosts[1]; media.Outcome != installer.Running || media.Transaction == "" {
		t.Errorf("%+v", media)
	}
	p.onEach = nil

	_, err = p.try()
	if problem.KindOf(err).ExitCode() != 5 || !strings.Contains(err.Error(), "is running") {
		t.Errorf("a second installer got %v", err)
	}
	release()
	p.resume()
	for name, h := range p.hosts {
		if all := h.Transactions(); len(all) != 1 || all[0].State != txn.StateDone {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

// TestResumeTellsARunningHostWhereItsBundleIs: the controller that it began with is gone, and
// what it has not fetched yet comes from the one that resumes.
func TestResumeTellsARunningHostWhereItsBundleIs(t *testing.T) {
	p := newPractice(t)
	c := p.bundled()
	first, second := c.open(t), c.open(t)
	release := p.held("media1")
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	p.onEach = func(e event.Event) {
		if e.Host == "media1" && e.Kind == event.Step {
			leave()
		}
	}
	o := p.options()
	o.Carrier = first
	if _, err := installer.Install(ctx, o); problem.KindOf(err) != problem.Interrupted {
		t.Fatal(err)
	}
	began := string(p.hosts["media1"].Secrets()["bundle"])
	_ = first.Close()
	p.onEach = func(e event.Event) {
		if e.Kind == event.Progress || e.Kind == event.Step {
			release()
		}
	}
	p.resume(from(second))
	for name, h := range p.hosts {
		if all := h.Transactions(); len(all) != 1 || all[0].State != txn.StateDone {
			t.Errorf("%s: %+v", name, all)
		}
	}
	if now := string(p.hosts["media1"].Secrets()["bundle"]); began == "" || now == began {
		t.Errorf("it was told %q, then %q", began, now)
	}
	if calls := p.hosts["media1"].Calls(); !slices.Contains(calls, "restart") {
		t.Errorf("media1 was called for %q", calls)
	}
}

// resume runs one resume, which must succeed.
func (p *practice) resume(edits ...func(*installer.Options)) *installer.Result {
	p.t.Helper()
	o := p.options()
	for _, edit := range edits {
		edit(&o)
	}
	result, err := installer.Resume(p.t.Context(), o)
	if err != nil {
		p.t.Fatal(err)
	}
	return result
}

// begun has a host take a transaction that nothing runs, as a power cut leaves it.
func (p *practice) begun(name string) {
	p.t.Helper()
	h := p.hosts[name]
	h.Crash = true
	ctx, leave := context.WithCancel(p.t.Context())
	p.onEach = func(e event.Event) {
		if e.Kind == event.Start && e.Host == name {
			leave()
		}
	}
	_, err := installer.Install(ctx, p.options())
	if problem.KindOf(err) != problem.Interrupted {
		p.t.Fatalf("leaving it: %v", err)
	}
	h.Crash, p.onEach = false, nil
	h.Calls()
}

func TestResumeGoesOnWithWhatWasCutOff(t *testing.T) {
	t.Parallel()
	for name, reboot := range map[string]bool{"nothing runs it": false, "its secrets are gone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPractice(t)
			p.begun("media1")
			if reboot {
				p.hosts["media1"].Reboot()
			}
			want := map[bool]txn.State{false: txn.StateInterrupted, true: txn.StateWaiting}[reboot]
			if all := p.hosts["media1"].Transactions(); len(all) != 1 || all[0].State != want {
				t.Fatalf("%+v", all)
			}
			result := p.resume()
			if result.Differs() || len(p.hosts["media1"].Transactions()) != 1 {
				t.Errorf("%+v, %+v", result, p.hosts["media1"].Transactions())
			}
			if !p.saw(event.Note, "of pat@laptop is "+string(want)) {
				t.Error("nobody was told what was found")
			}
			if got := p.hosts["media1"].Calls(); got[1] != "restart" || got[2] != "follow" {
				t.Errorf("it was called for %q", got)
			}
		})
	}
}

func TestResumeFinishesTheSameReleaseAlsoWhereNothingHadBegun(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.edit("version: 6.4.2", "version: 6.4.1")
	p.install(func(o *installer.Options) { o.Hosts = []string{"app1"} })
	p.edit("version: 6.4.1", "channel: stable") // which is 6.4.2 by now
	result := p.resume()
	if result.Release != "6.4.1" || result.Hosts[1].Outcome != installer.Changed {
		t.Errorf("%+v", result)
	}
}

func TestResumeNeedsNoRepositoryForWhatWasVerifiedBefore(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.begun("media1")
	p.repo.Close()
	if result := p.resume(); result.Differs() || !p.saw(event.Note, "going on with the releases known since the last look") {
		t.Errorf("%+v", result)
	}
}

func TestADryResumeOnlyTells(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.begun("media1")
	p.resume(func(o *installer.Options) { o.DryRun = true })
	if all := p.hosts["media1"].Transactions(); len(all) != 1 || all[0].State != txn.StateInterrupted {
		t.Errorf("%+v", all)
	}
}

// A host that tells without end is not listened to without end, and is not taken for one that is lost.
func TestAHostThatTellsWithoutEnd(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.hosts["media1"].Tells = func(event func(txn.Event) error) error {
		for seq := int64(0); ; seq++ {
			if err := event(txn.Event{Record: &journal.Record{Seq: seq, Kind: journal.Unchanged}}); err != nil {
				return err
			}
		}
	}
	result, err := p.try()
	if err == nil || !strings.Contains(err.Error(), "more than 20000 records") {
		t.Errorf("%+v, %v", result, err)
	}
	if p.saw(event.Lost, "") {
		t.Error("it is called lost")
	}
}
