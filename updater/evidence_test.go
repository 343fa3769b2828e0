package updater_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
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
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
)

// record is what an engine says that records.
func record() (wowza.State, error) {
	return wowza.State{Running: true, Licence: "L1", Recorders: []wowza.Recorder{{Application: "valt", Name: "interview-2", State: "Recording in Progress"}}}, nil
}

// of is one host's part of a report.
func of(t *testing.T, result *updater.UpdateResult, err error, host string) updater.HostRecord {
	t.Helper()
	if result == nil || result.Report == nil {
		t.Fatal("there is no report:", err)
	}
	i := slices.IndexFunc(result.Report.Hosts, func(h updater.HostRecord) bool { return h.Host == host })
	if i < 0 {
		t.Fatalf("%s is not in the report: %s", host, outcomes(result.Report))
	}
	return result.Report.Hosts[i]
}

// The application drives the recordings of every media server, whatever the run is about.
func TestTheApplicationIsNotChangedWhileAnyMediaServerRecords(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hosts  []string
		engine func() (wowza.State, error)
		why    string
	}{
		"of the run":            {nil, record, "media1 interview-2"},
		"of the site alone":     {[]string{"app1"}, record, "media1 interview-2"},
		"that cannot be asked":  {[]string{"app1"}, func() (wowza.State, error) { return wowza.State{}, errors.New("mute") }, "media1, of which it is not known"},
		"that is out of reach ": {[]string{"app1"}, nil, "media1, of which it is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := rollingPractice(t)
			p.hosts["app1"].Disrupts["container"] = step.Container
			o := p.rolling("u1")
			o.Hosts = c.hosts
			if p.hosts["media1"].Engine = c.engine; c.engine == nil {
				p.down["media1"] = errors.New("no route to host")
			}
			result, err := updater.Update(t.Context(), o)
			if err == nil {
				t.Fatal("it went through")
			}
			if r := of(t, result, err, "app1"); r.Outcome != updater.Skipped || !strings.Contains(r.Reason, c.why) {
				t.Errorf("%+v", r)
			}
			if applied := p.hosts["app1"].Applied(); slices.Contains(applied, "container") {
				t.Errorf("it was changed: %v", applied)
			}
		})
	}
}

// Between the last look from outside and the closing of the application's own gate a recording
// may begin: the host asks once more.
func TestARecordingThatBeginsBeforeTheApplicationsGateIsShutIsSeen(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	p.hosts["app1"].Disrupts["container"] = step.Container
	var on atomic.Bool
	quiet := p.hosts["media1"].Engine
	p.hosts["media1"].Engine = func() (wowza.State, error) {
		if on.Load() {
			return record()
		}
		return quiet()
	}
	p.hosts["app1"].Asks = map[step.KindName]step.Question{"drain": step.Quiet}
	p.seen = func(e event.Event) {
		if e.Host == "app1" && strings.HasPrefix(e.Text, "recordings: ") {
			on.Store(true) // a moment after the last look from outside
		}
	}
	result, err := updater.Update(t.Context(), p.rolling("u1"))
	if err == nil {
		t.Fatal("it went through")
	}
	if r := of(t, result, err, "app1"); r.Outcome == updater.Updated || !strings.Contains(r.Reason, "media1 interview-2") {
		t.Errorf("%+v", r)
	}
	if applied := p.hosts["app1"].Applied(); slices.Contains(applied, "container") {
		t.Errorf("it was changed while media1 recorded: %v", applied)
	}
}

// Also hosts that the run is not about are asked whether the application serves.
func TestTheApplicationAloneIsUpdatedAndAskedFromTheOthers(t *testing.T) {
	t.Parallel()
	for name, amiss := range map[string]string{"it serves them": "", "it does not": "the page does not come"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := rollingPractice(t)
			p.hosts["media1"].Looks[docker.KindHealth] = func(params string) string {
				if strings.Contains(params, `"at":"10.0.4.10"`) {
					return amiss
				}
				return ""
			}
			o := p.rolling("u1")
			o.Hosts = []string{"app1"}
			result, err := updater.Update(t.Context(), o)
			r := of(t, result, err, "app1")
			if amiss == "" && (err != nil || r.Outcome != updater.Updated) || amiss != "" && (r.Outcome != updater.RolledBack || !strings.Contains(r.Reason, amiss)) {
				t.Errorf("%v, %s: %s", err, r.Outcome, r.Reason)
			}
		})
	}
}

// A link that is lost is dialled again by whoever needs it. It says nothing about any host.
func TestALostLinkIsNobodysFault(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cut  []string
		when func(e event.Event) bool
	}{
		"all links in the canary's drain": {[]string{"app1", "media1", "media2"}, func(e event.Event) bool {
			return e.Host == "media1" && e.Kind == event.Step && strings.Contains(e.Step, "drain")
		}},
		"another's in the canary's soak": {[]string{"app1"}, func(e event.Event) bool { return e.Host == "media1" && strings.Contains(e.Text, "watched for another") }},
		"the canary's own in its soak":   {[]string{"media1"}, func(e event.Event) bool { return e.Host == "media1" && strings.Contains(e.Text, "watched for another") }},
		"the canary's before it is judged": {[]string{"media1"}, func(e event.Event) bool {
			return e.Host == "media1" && strings.Contains(e.Text, "waits to be confirmed")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := rollingPractice(t)
			var once sync.Once
			p.seen = func(e event.Event) {
				if c.when(e) {
					once.Do(func() {
						for _, h := range c.cut {
							p.hosts[h].Cut()
						}
					})
				}
			}
			o := p.rolling("u1")
			o.Soak = 10 * time.Minute
			result, err := updater.Update(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if got := outcomes(result.Report); got != "app1=updated media1=updated media2=updated" {
				t.Error(got)
			}
		})
	}
}

// The host began, and its answer is lost: the same is asked again, and nothing is begun twice.
func TestALostAnswerToABeginningBeginsNothingTwice(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	before := len(p.hosts["media1"].Transactions())
	var once sync.Once
	p.hosts["media1"].Started = func(r txn.Request) error {
		if r.Confirm == "" {
			return nil
		}
		var lost error
		once.Do(func() {
			p.hosts["media1"].Cut()
			lost = errors.New("the answer is lost")
		})
		return lost
	}
	result, err := updater.Update(t.Context(), p.rolling("u1"))
	if err != nil {
		t.Fatal(err)
	}
	if got := outcomes(result.Report); got != "app1=updated media1=updated media2=updated" {
		t.Error(got)
	}
	if n := len(slices.DeleteFunc(p.hosts["media1"].Transactions(), func(s txn.Summary) bool { return s.Stage })) - before; n != 1 {
		t.Errorf("%d changes were begun", n)
	}
}

// A host that was told to begin and cannot be asked any more is at work, for all one knows.
func TestAHostThatCannotBeAskedAfterItWasToldToBeginIsAtWork(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	p.hosts["media1"].Started = func(r txn.Request) error {
		if r.Confirm == "" {
			return nil
		}
		p.setDown("media1", errors.New("no route to host"))
		p.hosts["media1"].Cut()
		return errors.New("the answer is lost")
	}
	result, err := updater.Update(t.Context(), p.rolling("u1"))
	if err == nil {
		t.Fatal("it went through")
	}
	if got := outcomes(result.Report); got != "app1=not-started media1=running media2=not-started" {
		t.Error(got, result.Report.Hosts[1].Reason)
	}
	p.setDown("media1", nil)
	p.hosts["media1"].Started = nil
	if st := p.status(); st.Intent == nil {
		t.Error("nothing is left to go on with")
	}
	o := p.rolling("r1")
	o.To = ""
	if result, err = updater.Resume(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := p.releases(); got != "app1=6.4.2 media1=6.4.2 media2=6.4.2" {
		t.Error(got, outcomes(result.Report))
	}
	p.nothingLeft()
}

// stopAt ends a context once something is told.
func (p *practice) stopAt(host, text string) context.Context {
	ctx, cancel := context.WithCancel(p.t.Context())
	p.seen = func(e event.Event) {
		if e.Host == host && strings.Contains(e.Text, text) {
			cancel()
		}
	}
	p.t.Cleanup(cancel)
	return ctx
}

// gatesOf are the names of what was asked about a host.
func gatesOf(r updater.HostRecord) string {
	var names []string
	for _, g := range r.Gates {
		names = append(names, g.Name)
	}
	return strings.Join(names, " ")
}

// What nobody watched to its end is watched by whoever goes on, and compared with what the host
// did before.
func TestAResumedRolloutWatchesWhatNobodyWatched(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"stopped in the soak": "watched for another", "stopped before the confirmation": "waits to be confirmed"} {
		for _, lost := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", and a licence was lost"}[lost], func(t *testing.T) {
				t.Parallel()
				p, _ := rollingPractice(t)
				o := p.rolling("u1")
				o.Soak = 10 * time.Minute
				result, err := updater.Update(p.stopAt("media1", text), o)
				if err == nil {
					t.Fatal("it was not stopped")
				}
				if got := of(t, result, err, "media1"); got.Outcome != updater.Running {
					t.Fatalf("%+v", got)
				}
				p.seen = nil
				if lost {
					p.hosts["media1"].Engine = func() (wowza.State, error) {
						if p.now("media1").Release == "6.4.2" {
							return wowza.State{Running: true, Licence: "none"}, nil
						}
						return wowza.State{Running: true, Licence: "L1"}, nil
					}
				}
				o = p.rolling("r1")
				o.To, o.Soak = "", 10*time.Minute
				result, err = updater.Resume(t.Context(), o)
				r := of(t, result, err, "media1")
				if lost {
					if err == nil || r.Outcome != updater.RolledBack || !strings.Contains(r.Reason, `licence "L1", now "none"`) {
						t.Errorf("%v, %+v", err, r)
					}
					return
				}
				if err != nil || r.Outcome != updater.Updated || !strings.HasSuffix(gatesOf(r), "soak") {
					t.Errorf("%v, %s: %s", err, r.Outcome, gatesOf(r))
				}
			})
		}
	}
}

// A rollout that was cut off when nothing was left to do is closed by whoever goes on with it.
func TestARolloutWithNothingLeftToDoIsClosed(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	if _, err := updater.Update(t.Context(), p.rolling("u1")); err != nil {
		t.Fatal(err)
	}
	note, err := json.Marshal(updater.Intent{Kind: updater.KindSettings, From: "6.4.2", To: "6.4.2", Final: "6.4.2", Run: "lost", Who: "kim@desk", Soak: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	work, err := installer.Begin(t.Context(), p.options("lost").Options)
	if err != nil {
		t.Fatal(err)
	}
	defer work.Close()
	held, _, err := work.Hold(t.Context(), note)
	if err := errors.Join(err, held.Release(t.Context())); err != nil {
		t.Fatal(err)
	}
	result, err := updater.Resume(t.Context(), p.rolling("r1"))
	if err != nil || result.Report == nil || outcomes(result.Report) != "app1=unchanged media1=unchanged media2=unchanged" {
		t.Errorf("%+v, %v", result, err)
	}
	p.nothingLeft()
}

// Every host of the site learns who may change it, not only those of the run.
func TestEveryHostIsToldWhoMayChangeTheSite(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	hold := func(run string, hosts ...string) map[string]int64 {
		o := p.options(run).Options
		o.Hosts = hosts
		work, err := installer.Begin(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer work.Close()
		held, _, err := work.Hold(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int64{}
		for name, h := range p.hosts {
			text, err := os.ReadFile(filepath.Join(h.Root, "/var/lib/valtctl/fence.json"))
			var fence struct{ Highest int64 }
			if err := errors.Join(err, json.Unmarshal(text, &fence)); err != nil {
				t.Fatal(err)
			}
			seen[name] = fence.Highest
		}
		if err := held.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	first := hold("a")
	for name, token := range hold("b", "media1") {
		if token <= first[name] {
			t.Errorf("%s admits the run before still: it knows %d, and knew %d", name, token, first[name])
		}
	}
}

// engineWith is an engine with one container of the site in that state.
func engineWith(state string) facts.EngineFacts {
	return facts.EngineFacts{Containers: []facts.Container{{Name: "valt-media", State: state, Labels: map[string]string{docker.LabelSite: "st-marys"}}}}
}

// The other media server counts for the floor by what it does, whatever the run is about.
func TestTheFloorIsOfTheWholeSite(t *testing.T) {
	t.Parallel()
	for _, hosts := range [][]string{nil, {"media1"}} {
		t.Run(strings.Join(hosts, ","), func(t *testing.T) {
			t.Parallel()
			p, _ := rollingPractice(t)
			p.site.Updates.MinMediaServing = 1
			up, down := engineWith("running"), engineWith("exited")
			p.hosts["media1"].Facts.Engine, p.hosts["app1"].Facts.Engine, p.hosts["media2"].Facts.Engine = &up, &up, &down
			o := p.rolling("u1")
			o.Hosts = hosts
			result, err := updater.Update(t.Context(), o)
			of(t, result, err, "media1")
			if err == nil || !strings.Contains(result.Report.Halted, "fewer than 1 media hosts serving") {
				t.Errorf("%v: %s", err, outcomes(result.Report))
			}
			if slices.Contains(p.hosts["media1"].Applied(), "container") {
				t.Error("the last one that serves was changed")
			}
		})
	}
}

// And by what it does now, not when the rollout began.
func TestTheFloorIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	p.site.Updates.MinMediaServing = 1
	up, down := engineWith("running"), engineWith("exited")
	for _, h := range p.hosts {
		h.Facts.Engine = &up
	}
	p.seen = func(e event.Event) {
		if e.Host == "media1" && e.Kind == event.Done && e.Text == "updated" {
			p.hosts["media1"].SetEngine(&down) // it breaks once it is over
		}
	}
	result, err := updater.Update(t.Context(), p.rolling("u1"))
	if err == nil || of(t, result, err, "media1").Outcome != updater.Updated || of(t, result, err, "media2").Outcome != updater.NotStarted {
		t.Errorf("%v: %s", err, outcomes(result.Report))
	}
}

type stuck struct{}

func (stuck) Inspect(context.Context, *step.Machine) (step.Finding, error) {
	return step.Finding{Change: true}, nil
}
func (stuck) Apply(context.Context, *step.Machine) error { return errors.New("no") }
func (stuck) Undo(context.Context, *step.Machine) error  { return errors.New("it is stuck") }

type nothing struct{}

func (nothing) Inspect(context.Context, *step.Machine) (step.Finding, error) {
	return step.Finding{}, nil
}
func (nothing) Apply(context.Context, *step.Machine) error { return nil }

// byHand has a host do one step in a transaction of its own.
func (p *practice) byHand(host string, r txn.Request, made step.Step) txn.Result {
	p.t.Helper()
	p.ahead.Add(10)
	r.Schema, r.Site, r.Host, r.Policy = txn.Schema, "st-marys", host, txn.Allow
	r.Steps = []step.Spec{{ID: "x", Kind: "x", Title: "x", Half: step.Apply, Params: []byte("{}")}}
	kinds := step.NewRegistry([]step.Kind{{Name: "x", New: func(json.RawMessage) (step.Step, error) { return made, nil }}})
	s := txn.NewStoreBy(p.hosts[host].Root, txn.Clock{Now: p.hostClock, Uptime: func() (time.Duration, error) { return time.Hour, nil },
		Pause: func(context.Context, time.Duration) error { return nil }})
	id, err := s.Create(r, nil, kinds)
	if err != nil {
		p.t.Fatal(err)
	}
	result, err := s.Execute(p.t.Context(), id, &step.Machine{Root: p.hosts[host].Root, BootID: "boot"}, kinds)
	if err != nil {
		p.t.Fatal(err)
	}
	return result
}

// However much a person does with its gate, a host that is neither old nor new is not changed.
func TestAQuarantineIsNotForgotten(t *testing.T) {
	t.Parallel()
	p, _ := rollingPractice(t)
	if got := p.byHand("media1", txn.Request{Release: "6.4.2", Confirm: "1m"}, stuck{}).Outcome; got != txn.Quarantined {
		t.Fatal(got)
	}
	for range 30 {
		p.byHand("media1", txn.Request{Release: "6.4.1", Partial: true}, nothing{})
	}
	_, err := updater.Update(t.Context(), p.rolling("u1"))
	if problem.KindOf(err) != problem.Check || !strings.Contains(err.Error(), "quarantine") {
		t.Error(err)
	}
}

// A host in quarantine may have stopped half-way back, with packages that are newer than what it
// is: whoever repairs it takes them back as well.
func TestARepairTakesPackagesBack(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	if got := p.byHand("media1", txn.Request{Release: "6.4.2", Confirm: "1m"}, stuck{}).Outcome; got != txn.Quarantined {
		t.Fatal(got)
	}
	var may atomic.Bool
	p.hosts["media1"].Looks = map[step.KindName]func(string) string{apt.KindPackages: func(params string) string {
		may.Store(may.Load() || strings.Contains(params, `"downgrade":true`))
		return ""
	}}
	o := p.options("repair")
	o.Hosts, o.DryRun = []string{"media1"}, true
	if _, err := updater.Repair(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !may.Load() {
		t.Error("no step may take a package back")
	}
}

// A required check of the site's own that does not pass takes the host back; one that is only
// wanted is told, and stops nothing.
func TestTheSitesOwnChecksAreAskedBeforeTheConfirmation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		amiss string
		want  string
		gate  string
	}{
		"passes": {"", "app1=updated media1=updated media2=updated", "check/booking"},
		"fails":  {"three rooms are missing", "app1=rolled-back media1=updated media2=updated", "check/booking"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := rollingPractice(t)
			p.site.Checks = []site.SiteCheck{{Name: "booking", URL: "https://valt.example/api/rooms", Required: true, Within: site.Duration(time.Second)}}
			p.hosts["app1"].Looks[system.KindSiteCheck] = func(string) string { return c.amiss }
			result, err := updater.Update(t.Context(), p.rolling("u1"))
			if got := outcomes(result.Report); got != c.want || (err == nil) != (c.amiss == "") {
				t.Fatal(got, err)
			}
			app := of(t, result, err, "app1")
			i := slices.IndexFunc(app.Gates, func(g updater.Gate) bool { return g.Name == c.gate })
			if c.amiss != "" && (i < 0 || app.Gates[i].Passed || !strings.Contains(app.Reason, c.amiss)) {
				t.Errorf("%+v", app)
			}
			if media := of(t, result, err, "media1"); strings.Contains(gatesOf(media), "check/") {
				t.Errorf("a media server was asked the application's check: %s", gatesOf(media))
			}
		})
	}
}
