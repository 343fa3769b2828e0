package updater_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
	"ipivs.com/valtctl/updater/drain"
)

// rollingPractice is the practice site with hosts that can be rolled over: they say whether
// they serve, and containers are drained for on media hosts.
func rollingPractice(t *testing.T) (p *practice, ill map[string]*atomic.Bool) {
	t.Helper()
	p, ill = newPractice(t), map[string]*atomic.Bool{}
	for name, h := range p.hosts {
		sick := &atomic.Bool{}
		ill[name] = sick
		h.Imitate(drain.KindDrain, drain.KindOpen)
		h.Looks = map[step.KindName]func(string) string{docker.KindHealth: func(string) string {
			if sick.Load() {
				return "the page says 503"
			}
			return ""
		}}
		h.Engine = func() (wowza.State, error) { return wowza.State{Running: true, Licence: "L1"}, nil }
		h.Reaches = func(probe.Spec) probe.Verdict { return probe.Works }
		if strings.HasPrefix(name, "media") {
			h.Disrupts["container"] = step.Container
		}
		h.Applied()
	}
	return p, ill
}

// rolling are the options of a rollout whose clock runs fast: two minutes are a moment.
func (p *practice) rolling(run string) updater.Options {
	p.ahead.Add(10)
	o := p.options(run)
	began, from := time.Now(), p.repo.Now()
	o.Now = func() time.Time { return from.Add(600 * time.Since(began)) }
	o.Lease = 24 * time.Hour
	o.To, o.Soak, o.DrainWithin, o.Kinds = "6.4.2", time.Nanosecond, time.Minute, step.Registry{}
	return o
}

// releases are those that the hosts say they have.
func (p *practice) releases() string {
	p.t.Helper()
	var all []string
	for _, h := range p.status().Hosts {
		all = append(all, h.Host+"="+h.Facts.Installed.Release)
	}
	return strings.Join(all, " ")
}

func TestAnUpdateTakesEveryHostInItsTurn(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	result, err := updater.Update(t.Context(), p.rolling("u1"))
	if err != nil {
		t.Fatal(err)
	}
	if got := outcomes(result.Report); got != "app1=updated media1=updated media2=updated" {
		t.Fatal(got)
	}
	if got := p.releases(); got != "app1=6.4.2 media1=6.4.2 media2=6.4.2" {
		t.Error(got)
	}
	hosts := result.Report.Hosts
	app1, media1, media2 := hosts[0], hosts[1], hosts[2]
	if media1.Wave != 1 || media1.Ended.After(media2.Started) || media1.Ended.After(app1.Started) {
		t.Errorf("the canary was not alone: %+v", hosts)
	}
	for _, h := range []updater.HostRecord{media1, media2} {
		if len(h.Gates) != 3 || h.Gates[0].Name != "health" || h.Gates[1].Name != "compare" || h.Gates[2].Name != "soak" || !h.Gates[2].Passed {
			t.Errorf("%s was asked %+v", h.Host, h.Gates)
		}
		applied := p.hosts[h.Host].Applied()
		if drain, container := slices.Index(applied, "drain"), slices.Index(applied, "container"); drain < 0 || container < drain {
			t.Errorf("%s was not drained before its containers were changed: %v", h.Host, applied)
		}
		if h.Downtime <= 0 {
			t.Errorf("the containers of %s were replaced within %s", h.Host, h.Downtime)
		}
	}
	if applied := p.hosts["app1"].Applied(); slices.Contains(applied, "drain") {
		t.Errorf("nothing of app1 was interrupted, and it was drained: %v", applied)
	}
	read, err := updater.ReadReport(p.stateDir, "u1")
	if err != nil || outcomes(read) != outcomes(result.Report) || read.Chain.Records < 8 {
		t.Errorf("%+v, %v", read, err)
	}
	p.nothingLeft()
	again, err := updater.Update(t.Context(), p.rolling("u2"))
	if err != nil || again.Report != nil || again.Preview.Differs() {
		t.Errorf("a second update: %+v, %v", again, err)
	}
}

// What did not serve before its update takes no session before it is confirmed: it may have to go back.
func TestAHostThatDoesNotServeYetIsDrainedAsWell(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	p.hosts["app1"].Admits = map[step.KindName]bool{docker.KindContainer: true}
	if _, err := updater.Update(t.Context(), p.rolling("u1")); err != nil {
		t.Fatal(err)
	}
	applied := p.hosts["app1"].Applied()
	if drain, container := slices.Index(applied, "drain"), slices.Index(applied, "container"); drain < 0 || container < drain {
		t.Errorf("%v", applied)
	}
}

// Looks that take long, as on a busy machine, find a host that serves: nobody is silent.
func TestAHostThatServesIsWatchedToItsEndHoweverLongALookTakes(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	o := p.rolling("u1")
	var watching atomic.Bool
	var ahead atomic.Int64
	p.seen = func(e event.Event) { watching.Store(strings.HasPrefix(e.Text, "watched for another")) }
	clock := o.Now
	o.Now = func() time.Time {
		if watching.Load() {
			ahead.Add(int64(6 * time.Minute))
		}
		return clock().Add(time.Duration(ahead.Load()))
	}
	if result, err := updater.Update(t.Context(), o); err != nil || outcomes(result.Report) != "app1=updated media1=updated media2=updated" {
		t.Errorf("%+v, %v", result, err)
	}
}

// A host that fails is taken back by itself, and no other is begun.
func TestAFailingHostHaltsTheRollout(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	p.hosts["media1"].Fails["container"] = errors.New("no space left")
	result, err := updater.Update(t.Context(), p.rolling("u1"))
	if problem.KindOf(err).ExitCode() != 4 || result == nil || result.Report == nil {
		t.Fatalf("%+v, %v", result, err)
	}
	r := result.Report
	if got := outcomes(r); got != "app1=not-started media1=rolled-back media2=not-started" {
		t.Fatal(got)
	}
	if why := r.Hosts[1].Reason; !strings.Contains(why, "no space left") || r.Halted == "" {
		t.Errorf("%q, halted: %q", why, r.Halted)
	}
	if got := p.releases(); got != "app1=6.4.1 media1=6.4.1 media2=6.4.1" {
		t.Error(got)
	}
	for _, other := range []string{"app1", "media2"} { // they have fetched, and that is all
		if s := p.now(other); !s.Stage || slices.Contains(p.hosts[other].Applied(), "container") {
			t.Errorf("%s was touched: %+v", other, s)
		}
	}
	p.nothingLeft()
}

// An application that answers itself and nobody else does not serve.
func TestAnApplicationIsAskedFromTheOtherHosts(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	p.hosts["media1"].Looks[docker.KindHealth] = func(params string) string {
		if strings.Contains(params, `"at":"10.0.4.10"`) {
			return "the page does not come"
		}
		return ""
	}
	result, err := updater.Update(t.Context(), p.rolling("u1"))
	if problem.KindOf(err).ExitCode() != 4 {
		t.Fatal(err)
	}
	if got := outcomes(result.Report); got != "app1=rolled-back media1=updated media2=updated" {
		t.Error(got)
	}
	if why := result.Report.Hosts[0].Reason; !strings.Contains(why, "asked from media1: the page does not come") {
		t.Error(why)
	}
}

func TestAHostThatDoesNotServeAfterTheSwitchGoesBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(p *practice, ill map[string]*atomic.Bool)
		why   string
	}{
		"it says so itself": {func(_ *practice, ill map[string]*atomic.Bool) { ill["media1"].Store(true) }, "asked from media1: the page says 503"},
		"a port that answered others is closed": {func(p *practice, _ map[string]*atomic.Bool) {
			var asked atomic.Int64
			p.hosts["app1"].Reaches = func(s probe.Spec) probe.Verdict {
				if s.Host == "10.0.4.21" && s.Port == 1935 && asked.Add(1) > 1 {
					return probe.Refused
				}
				return probe.Works
			}
		}, "1935"},
		"its licence is another": {func(p *practice, _ map[string]*atomic.Bool) {
			var looks atomic.Int64
			p.hosts["media1"].Engine = func() (wowza.State, error) {
				return wowza.State{Running: true, Licence: fmt.Sprintf("L%d", min(looks.Add(1), 2))}, nil
			}
		}, `licence "L1", now "L2"`},
		"a stream is gone": {func(p *practice, _ map[string]*atomic.Bool) {
			var looks atomic.Int64
			p.hosts["media1"].Engine = func() (wowza.State, error) {
				s := wowza.State{Running: true}
				if looks.Add(1) == 1 {
					s.Streams = []wowza.Stream{{Application: "valt", Name: "lobby", Connected: true}}
				}
				return s, nil
			}
		}, "it had before, and has no more: stream lobby"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, ill := rollingPractice(t)
			c.spoil(p, ill)
			if name == "it says so itself" { // from the switch on: its own steps pass
				asked := p.hosts["media1"].Looks["health"]
				p.hosts["media1"].Looks["health"] = func(params string) string {
					if !slices.ContainsFunc(p.hosts["media1"].Transactions(), func(s txn.Summary) bool { return s.State == txn.StateUnconfirmed }) {
						return ""
					}
					return asked(params)
				}
			}
			result, err := updater.Update(t.Context(), p.rolling("u1"))
			if problem.KindOf(err).ExitCode() != 4 {
				t.Fatal(err)
			}
			if got := outcomes(result.Report); got != "app1=not-started media1=rolled-back media2=not-started" {
				t.Fatal(got, err)
			}
			if why := result.Report.Hosts[1].Reason; !strings.Contains(why, c.why) {
				t.Error(why)
			}
			gates := result.Report.Hosts[1].Gates
			if last := gates[len(gates)-1]; last.Passed || !strings.Contains(last.Text, c.why) {
				t.Errorf("the report's gates do not tell: %+v", gates)
			}
			if got := p.releases(); got != "app1=6.4.1 media1=6.4.1 media2=6.4.1" {
				t.Error(got)
			}
		})
	}
}

func TestAHostWhoseRecordingsGoOnIsSkipped(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	p.hosts["media2"].Fails["drain"] = fmt.Errorf("%w: lobby", step.ErrNotDrained)
	result, err := updater.Update(t.Context(), p.rolling("u1"))
	if problem.KindOf(err).ExitCode() != 4 {
		t.Fatal(err)
	}
	r := result.Report.Hosts[2]
	if r.Outcome != updater.Skipped || !strings.Contains(r.Reason, "lobby") {
		t.Errorf("%+v", r)
	}
	if slices.Contains(p.hosts["media2"].Applied(), "container") || !strings.Contains(p.releases(), "media2=6.4.1") {
		t.Errorf("it was changed: %s", p.releases())
	}
	if result.Report.Hosts[1].Outcome != updater.Updated {
		t.Errorf("the canary: %+v", result.Report.Hosts[1])
	}
}

// What fails only after a host was confirmed is taken back by a rollout of its own, with a
// drain of its own.
func TestAFailedSoakTakesTheHostBack(t *testing.T) {
	t.Parallel()
	p, ill := rollingPractice(t)
	p.seen = func(e event.Event) {
		switch {
		case e.Host == "media1" && strings.Contains(e.Text, "watched for another"):
			ill["media1"].Store(true)
		case e.Host == "media1" && strings.HasPrefix(e.Text, "soak: watching it for"):
			ill["media1"].Store(false) // the release before is well
		}
	}
	o := p.rolling("u1")
	o.Soak = 4 * time.Hour
	result, err := updater.Update(t.Context(), o)
	if problem.KindOf(err).ExitCode() != 4 {
		t.Fatal(err)
	}
	r := result.Report.Hosts[1]
	if r.Outcome != updater.RolledBack || !strings.Contains(r.Reason, "watching it for 4h0m0s") {
		t.Errorf("%+v", r)
	}
	if got := p.releases(); got != "app1=6.4.1 media1=6.4.1 media2=6.4.1" {
		t.Error(got)
	}
	if n := len(slices.DeleteFunc(p.hosts["media1"].Transactions(), func(s txn.Summary) bool { return s.Stage })); n != 3 {
		t.Errorf("%d transactions instead of the installation, the update and the way back", n)
	}
}

func TestStagingFetchesAndChangesNothing(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	o := p.rolling("s1")
	o.StageOnly = true
	result, err := updater.Update(t.Context(), o)
	if err != nil || result.Report != nil {
		t.Fatalf("%+v, %v", result, err)
	}
	for name, h := range p.hosts {
		applied := h.Applied()
		if s := p.now(name); !s.Stage || s.State != txn.StateDone || s.Release != "6.4.2" || len(applied) == 0 {
			t.Errorf("%s: %+v, %v", name, s, applied)
		}
		for _, kind := range []step.KindName{docker.KindContainer, drain.KindDrain, apt.KindPackages, docker.KindEngineService} {
			if slices.Contains(applied, kind) {
				t.Errorf("%s: staging applied %v", name, applied)
			}
		}
	}
	if got := p.releases(); got != "app1=6.4.1 media1=6.4.1 media2=6.4.1" {
		t.Error(got)
	}
	if files, err := filepath.Glob(filepath.Join(p.stateDir, "runs", "s1*")); err != nil || len(files) != 0 {
		t.Errorf("a rollout is recorded: %v, %v", files, err)
	}
	if st := p.status(); st.Intent != nil {
		t.Errorf("a rollout is left: %+v", st.Intent)
	}
	if resumed, err := installer.Resume(t.Context(), installer.Options{Options: p.options("r1").Options, SkipChecks: true}); err != nil || resumed.Release != "6.4.1" {
		t.Errorf("resuming after it: %+v, %v", resumed, err)
	}
	result, err = updater.Update(t.Context(), p.rolling("u1"))
	if err != nil || outcomes(result.Report) != "app1=updated media1=updated media2=updated" {
		t.Errorf("after staging: %+v, %v", result, err)
	}
}

func TestResumeFinishesWhatALostControllerBegan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ill  bool
		want string
	}{
		"it serves":         {false, "app1=updated media1=updated media2=updated"},
		"it does not serve": {true, "app1=not-started media1=rolled-back media2=updated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, ill := rollingPractice(t)
			p.lost("media1", switching(), "waits to be confirmed", "media2")
			ill["media1"].Store(c.ill)
			o := p.rolling("r1")
			o.To = ""
			result, err := updater.Resume(t.Context(), o)
			if (err != nil) != c.ill {
				t.Fatal(err)
			}
			if got := outcomes(result.Report); got != c.want {
				t.Errorf("%s, %v", got, err)
			}
			if result.Report.Kind != updater.KindUpdate || result.Report.To != "6.4.2" {
				t.Errorf("%+v", result.Report.About)
			}
			want := txn.StateDone
			if c.ill {
				want = txn.StateRolledBack
			}
			if s := p.now("media1"); s.State != want {
				t.Errorf("media1 is %s: %s", s.State, s.Words())
			}
			p.nothingLeft()
		})
	}
}

func TestADrainedHostStaysDrainedUntilItIsOpened(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	if err := updater.Drain(t.Context(), p.rolling("d1"), "media1"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.hosts["media1"].Applied()); got != "[drain]" {
		t.Error(got)
	}
	if s := p.now("media1"); s.State != txn.StateDone || !s.Stage {
		t.Errorf("a drain brings a host to no release: %+v", s)
	}
	if err := updater.Undrain(t.Context(), p.rolling("d2"), "media1"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.hosts["media1"].Applied()); got != "["+string(drain.KindOpen)+"]" {
		t.Error(got)
	}
	for _, other := range []string{"app1", "media2"} {
		if applied := p.hosts[other].Applied(); len(applied) != 0 {
			t.Errorf("%s was touched: %v", other, applied)
		}
	}
	if st := p.status(); st.Lease.Run != "" || st.Intent != nil {
		t.Errorf("%+v is left", st.Lease)
	}
}

// told keeps what a run tells, in its order.
type told struct {
	mu  sync.Mutex
	all []event.Event
}

func (o *told) Observe(e event.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, e)
}

// Before a media server's gate is closed its person is told once which mails VALT will send.
func TestADrainSaysBeforeItBeginsWhichMailsVALTWillSend(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"media1", "app1"} {
		p, _ := rollingPractice(t)
		o, all := p.rolling("d1"), &told{}
		o.Observer = all
		if err := updater.Drain(t.Context(), o, host); err != nil {
			t.Fatal(err)
		}
		said := slices.IndexFunc(all.all, func(e event.Event) bool { return strings.Contains(e.Text, "stream offline") })
		begun := slices.IndexFunc(all.all, func(e event.Event) bool { return e.Kind == event.Start })
		if host == "app1" {
			if said >= 0 {
				t.Errorf("an application has no streams: %+v", all.all[said])
			}
			continue
		}
		if said < 0 || begun < 0 || said > begun {
			t.Fatalf("it is told at %d, and begun at %d: %+v", said, begun, all.all)
		}
		if e := all.all[said]; e.Kind != event.Note || e.Host != host || !strings.Contains(e.Text, "the cameras of "+host+" from now on") {
			t.Errorf("%+v", e)
		}
		if slices.ContainsFunc(all.all[said+1:], func(e event.Event) bool { return strings.Contains(e.Text, "stream offline") }) {
			t.Errorf("it is told twice: %+v", all.all)
		}
	}
}

// An application that is drained by hand asks what is recorded elsewhere, as in an update.
func TestTheApplicationIsDrainedByHandOnceNothingIsRecorded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		engine func() (wowza.State, error)
		why    string
	}{
		"nothing is":      {func() (wowza.State, error) { return wowza.State{Running: true}, nil }, ""},
		"something is":    {record, "media1 interview-2"},
		"it is not known": {func() (wowza.State, error) { return wowza.State{}, errors.New("mute") }, "media1, of which it is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := rollingPractice(t)
			p.hosts["app1"].Asks = map[step.KindName]step.Question{"drain": step.Quiet}
			p.hosts["media1"].Engine = c.engine
			err := updater.Drain(t.Context(), p.rolling("d1"), "app1")
			if c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
				t.Error(err)
			}
		})
	}
}

// A drain asks for what it needs alone: who drains a server in the night need not have the
// certificate, the licences or the registry's password.
func TestADrainNeedsNoFilesOfAnInstallation(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	bare := func(run string) updater.Options {
		o := p.rolling(run)
		s := *o.Site
		s.TLS, s.Registry.PasswordFile, s.Name = site.TLS{Certificate: "/nowhere/valt.pem", KeyFile: "/nowhere/valt.key"}, "/nowhere/registry", o.Site.Name
		s.Hosts = slices.Clone(s.Hosts)
		for i := range s.Hosts {
			s.Hosts[i].Wowza.KeyFile = "/nowhere/licence"
		}
		o.Site = &s
		return o
	}
	if err := updater.Drain(t.Context(), bare("d1"), "media1"); err != nil {
		t.Error(err)
	}
	if err := updater.Undrain(t.Context(), bare("d2"), "media1"); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(p.hosts["media1"].Applied()); got != "[drain "+string(drain.KindOpen)+"]" {
		t.Error(got)
	}
}

func TestADrainThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	p.hosts["media1"].Fails["drain"] = fmt.Errorf("%w: lobby", step.ErrNotDrained)
	if err := updater.Drain(t.Context(), p.rolling("d1"), "media1"); err == nil || !strings.Contains(err.Error(), "lobby") || !strings.Contains(err.Error(), "media1") {
		t.Error(err)
	}
	dry := p.rolling("d2")
	dry.DryRun = true
	before := len(p.hosts["media2"].Transactions())
	if err := updater.Drain(t.Context(), dry, "media2"); err != nil || len(p.hosts["media2"].Transactions()) != before {
		t.Errorf("a dry run: %v", err)
	}
}

// Where a release's images are there already and the engine's disk is full, nothing would be fetched and every
// container's making fail: it is refused before anybody is kept out, and not taken back after it.
func TestAHostWhoseEngineHasNoRoomIsRefusedBeforeAnythingIsChanged(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, c := range map[string]struct {
		root    string
		disks   []facts.Filesystem
		refused string // the file system; empty: it goes through
	}{
		"full":                   {"", []facts.Filesystem{{Mount: "/", Size: 1000 * mib, Free: 900 * mib}, {Mount: "/var/lib/docker", Size: 100 * mib, Free: mib}}, "/var/lib/docker"},
		"full, and elsewhere":    {"/srv/docker", []facts.Filesystem{{Mount: "/", Size: 1000 * mib, Free: 900 * mib}, {Mount: "/srv", Size: 100 * mib, Free: 63 * mib}}, "/srv"},
		"room":                   {"", []facts.Filesystem{{Mount: "/", Size: 1000 * mib, Free: mib}, {Mount: "/var/lib/docker", Size: 100 * mib, Free: 65 * mib}}, ""},
		"one that does not tell": {"", []facts.Filesystem{{Mount: "/"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := rollingPractice(t)
			p.hosts["media2"].Facts.Filesystems = c.disks
			if c.root != "" {
				p.hosts["media2"].SetEngine(&facts.EngineFacts{Root: c.root})
			}
			before := len(p.hosts["media1"].Transactions())
			_, err := updater.Update(t.Context(), p.rolling("u1"))
			if c.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if problem.KindOf(err) != problem.Check || !strings.Contains(err.Error(), c.refused+" has ") || !strings.Contains(err.Error(), "media2") || strings.Contains(err.Error(), "media1") {
				t.Errorf("%v", err)
			}
			if now := len(p.hosts["media1"].Transactions()); now != before {
				t.Errorf("media1 has %d transactions after %d", now, before)
			}
			if st := p.status(); st.Intent != nil || st.Lease.Run != "" {
				t.Errorf("%+v, %+v is left", st.Lease, st.Intent)
			}
		})
	}
}

func TestWhatAnUpdateRefusesBeforeAnythingIsChanged(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	for name, c := range map[string]struct {
		edit      func(*updater.Options)
		do        func(context.Context, updater.Options) (*updater.UpdateResult, error)
		kind      problem.Kind
		why, hint string
	}{
		"interrupting without a name":             {func(o *updater.Options) { o.Interrupt = true }, updater.Update, problem.Input, "no host is named", "--host"},
		"to an older release":                     {func(o *updater.Options) { o.To = "6.3.0" }, updater.Update, problem.Input, "the site has 6.4.1, which is newer", "valtctl rollback"},
		"to no release":                           {func(o *updater.Options) { o.To = "6.9.9" }, updater.Update, problem.Input, "6.9.9", ""},
		"to one that changes an unknown database": {func(o *updater.Options) { o.To = "6.6.0" }, updater.Update, problem.Check, "no backup of it can be made", "made again by its vendor"},
		"back to nowhere":                         {func(o *updater.Options) { o.To = "" }, updater.Rollback, problem.Input, "no host remembers a release before 6.4.1", "--to"},
		"back to a newer one":                     {func(o *updater.Options) {}, updater.Rollback, problem.Input, "6.4.2 is newer than 6.4.1", "--to"},
		"disagreeing": {func(o *updater.Options) {
			o.Agree = func(context.Context, *updater.Preview) error { return errors.New("no, thank you") }
		}, updater.Update, problem.Failed, "no, thank you", ""},
	} {
		o := p.rolling("x")
		c.edit(&o)
		result, err := c.do(t.Context(), o)
		all := problem.All(err)
		if len(all) == 0 || problem.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.why) || !strings.Contains(all[0].Fix, c.hint) {
			t.Errorf("%s: %v (%+v)", name, err, all)
		}
		if result != nil && result.Report != nil {
			t.Errorf("%s: something was begun: %+v", name, result.Report)
		}
	}
	for name, h := range p.hosts {
		if n := len(h.Transactions()); n != 1 {
			t.Errorf("%s has %d transactions", name, n)
		}
	}
}
