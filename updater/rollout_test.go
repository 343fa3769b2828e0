package updater

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

// actor is a Driver that takes a minute a host and does as told.
type actor struct {
	mu       sync.Mutex
	staging  map[string]error
	ends     map[string]HostRecord // Updated where nothing is said
	staged   []string
	begun    []string
	together int // most at once
	now      int
}

func (a *actor) Stage(_ context.Context, host string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.staged = append(a.staged, host)
	return a.staging[host]
}

func (a *actor) Update(ctx context.Context, host string) HostRecord {
	a.mu.Lock()
	a.begun = append(a.begun, host)
	a.now++
	a.together = max(a.together, a.now)
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.now--
	}()
	select {
	case <-ctx.Done():
		return HostRecord{Outcome: Running}
	case <-time.After(time.Minute):
	}
	if r, told := a.ends[host]; told {
		return r
	}
	return HostRecord{Outcome: Updated}
}

// ending and staging make what the actor is told from "media1=rolled-back media2=skipped".
func endings(text string) map[string]HostRecord {
	all := map[string]HostRecord{}
	for _, part := range strings.Fields(text) {
		host, outcome, _ := strings.Cut(part, "=")
		r := HostRecord{Outcome: HostOutcome(outcome)}
		if !r.Outcome.good() {
			r.Reason = "told so"
		}
		all[host] = r
	}
	return all
}

// sum is a report in short: "media1=updated media2=not-started".
func sum(r *Report) string {
	var all []string
	for _, h := range r.Hosts {
		all = append(all, h.Host+"="+string(h.Outcome))
	}
	return strings.Join(all, " ")
}

type story struct {
	hosts, beside   string
	policy          Policy
	either          bool
	appFirst        bool
	stage           string // hosts that cannot fetch
	ends            string
	done            string
	fits            map[string]string // why not
	want            string
	begun           string // in order; of those of one wave sorted
	halted          string // part of the reason; empty: not halted
	exit            int
	together        int // at most at once; 0: not asked
	cancelAfter     time.Duration
	notEvenFetching bool
}

func (s story) rollout(a *actor) *Rollout {
	r := &Rollout{Hosts: fleetOf(s.hosts), Beside: fleetOf(s.beside), Policy: s.policy, MediaFirst: !s.appFirst, Either: s.either,
		Driver: a, Now: time.Now, Done: endings(s.done), About: About{Site: "st-marys"}}
	if s.fits != nil {
		r.Fits = func(host string, _ time.Time) error {
			if why := s.fits[host]; why != "" {
				return errors.New(why)
			}
			return nil
		}
	}
	return r
}

func TestRollouts(t *testing.T) {
	one := site.Wave{Hosts: 1}
	all := site.Wave{Percent: 100}
	for name, s := range map[string]story{
		"all is well": {hosts: "app1 media1 media2 media3", policy: Policy{Wave: all, MinMediaServing: 1},
			want: "app1=updated media1=updated media2=updated media3=updated", begun: "media1 media2 media3 app1", together: 2},
		"nothing differs": {hosts: "app1 media1", policy: Policy{Wave: all}, ends: "app1=unchanged media1=unchanged",
			want: "app1=unchanged media1=unchanged", begun: "media1 app1"},
		"too many cannot fetch": {hosts: "media1 media2 media3", policy: Policy{Wave: all}, stage: "media3",
			want: "media1=not-started media2=not-started media3=failed", halted: "1 host failed, and 0 may: the last one was media3", exit: 4},
		"some cannot fetch": {hosts: "media1 media2 media3", policy: Policy{Wave: all, MaxFailures: 1}, stage: "media3",
			want: "media1=updated media2=updated media3=failed", begun: "media1 media2", exit: 1},
		"the canary cannot fetch": {hosts: "media1 media2", policy: Policy{Wave: all, MaxFailures: 1}, stage: "media1",
			want: "media1=failed media2=not-started", halted: "the canary media1 is failed", exit: 4},
		"a bad release": {hosts: "app1 media1 media2", policy: Policy{Wave: all}, ends: "media1=rolled-back",
			want: "app1=not-started media1=rolled-back media2=not-started", begun: "media1", halted: "media1 (back on what it had: told so)", exit: 4},
		"a bad canary within the budget": {hosts: "media1 media2", policy: Policy{Wave: all, MaxFailures: 5}, ends: "media1=rolled-back",
			want: "media1=rolled-back media2=not-started", begun: "media1", halted: "the canary media1 is back on what it had, so nothing is proven: told so", exit: 4},
		"a skipped canary": {hosts: "media1 media2", policy: Policy{Wave: all, MaxFailures: 5}, ends: "media1=skipped",
			want: "media1=skipped media2=not-started", begun: "media1", halted: "the canary media1 is skipped", exit: 4},
		"a canary out of the window": {hosts: "media1 media2", policy: Policy{Wave: all}, fits: map[string]string{"media1": "too late"},
			want: "media1=not-started media2=not-started", halted: "too late", exit: 4},
		"bad in the second wave": {hosts: "media1 media2 media3 media4 media5", policy: Policy{Wave: site.Wave{Hosts: 2}}, ends: "media3=rolled-back",
			want: "media1=updated media2=updated media3=rolled-back media4=not-started media5=not-started", begun: "media1 media2 media3", halted: "and 0 may", exit: 4},
		"exactly at the budget": {hosts: "media1 media2 media3 media4 media5", policy: Policy{Wave: one, MaxFailures: 1}, ends: "media2=failed media3=quarantined",
			want: "media1=updated media2=failed media3=quarantined media4=not-started media5=not-started", begun: "media1 media2 media3", halted: "2 hosts failed, and 1 may", exit: 4},
		"within the budget": {hosts: "media1 media2 media3", policy: Policy{Wave: one, MaxFailures: 1}, ends: "media2=rolled-back",
			want: "media1=updated media2=rolled-back media3=updated", begun: "media1 media2 media3", exit: 1},
		"a skipped host stops nobody": {hosts: "media1 media2 media3", policy: Policy{Wave: one}, ends: "media2=skipped",
			want: "media1=updated media2=skipped media3=updated", begun: "media1 media2 media3", exit: 4},
		"a host out of the window stops nobody": {hosts: "media1 media2 media3", policy: Policy{Wave: one}, fits: map[string]string{"media2": "too slow"},
			want: "media1=updated media2=not-started media3=updated", begun: "media1 media3", exit: 4},
		"the floor goes before the wave": {hosts: "media1 media2 media3 media4", policy: Policy{Wave: all, MinMediaServing: 3},
			want: "media1=updated media2=updated media3=updated media4=updated", begun: "media1 media2 media3 media4", together: 1},
		"one that does not serve takes nothing away": {hosts: "media1- media2 media3-", policy: Policy{Wave: all, MinMediaServing: 1, Canary: "media1"},
			want: "media1=updated media2=updated media3=updated", begun: "media1 media2 media3", together: 2},
		"a quarantined one does not serve": {hosts: "media1 media2 media3", policy: Policy{Wave: one, MinMediaServing: 2, MaxFailures: 9}, ends: "media2=quarantined",
			want: "media1=updated media2=quarantined media3=not-started", begun: "media1 media2", halted: "to start media3 would leave fewer than 2 media hosts serving; 2 serve now", exit: 4},
		"one back on the old release serves": {hosts: "media1 media2 media3", policy: Policy{Wave: one, MinMediaServing: 2, MaxFailures: 9}, ends: "media2=rolled-back",
			want: "media1=updated media2=rolled-back media3=updated", begun: "media1 media2 media3", exit: 1},
		"too few serve at the start": {hosts: "media1 media2- media3-", policy: Policy{Wave: one, MinMediaServing: 1, Canary: "media1"},
			want: "media1=not-started media2=not-started media3=not-started", halted: "media1 would leave fewer than 1", exit: 4},
		"the others of the site count": {hosts: "media1", beside: "media2", policy: Policy{Wave: one, MinMediaServing: 1},
			want: "media1=updated", begun: "media1"},
		"also those that do not serve": {hosts: "media1", beside: "media2-", policy: Policy{Wave: one, MinMediaServing: 1},
			want: "media1=not-started", halted: "fewer than 1", exit: 4},
		"the only media host": {hosts: "app1 media1", policy: Policy{Wave: one, MinMediaServing: 1},
			want: "app1=updated media1=updated", begun: "media1 app1"},
		"the application waits for all media hosts": {hosts: "app1 media1 media2", policy: Policy{Wave: all, MaxFailures: 1}, ends: "media2=rolled-back",
			want: "app1=not-started media1=updated media2=rolled-back", begun: "media1 media2", halted: "media2 is back on what it had, and the releases do not work", exit: 4},
		"unless it need not": {hosts: "app1 media1 media2", policy: Policy{Wave: all, MaxFailures: 1}, either: true, ends: "media2=rolled-back",
			want: "app1=updated media1=updated media2=rolled-back", begun: "media1 media2 app1", exit: 1},
		"the application first": {hosts: "app1 media1", policy: Policy{Wave: all}, appFirst: true,
			want: "app1=updated media1=updated", begun: "app1 media1"},
		"a driver that says nothing": {hosts: "media1 media2", policy: Policy{Wave: all}, ends: "media1=",
			want: "media1=failed media2=not-started", begun: "media1", halted: "it is not known what it came to", exit: 4},
		"a host of which nothing is heard": {hosts: "media1 media2 media3", policy: Policy{Wave: one, MaxFailures: 3}, ends: "media2=running",
			want: "media1=updated media2=running media3=not-started", begun: "media1 media2", halted: "what becomes of media2 is not known yet", exit: 4},
		"resumed": {hosts: "app1 media1 media2 media3", policy: Policy{Wave: one, MaxFailures: 1}, done: "media1=updated media2=rolled-back", either: true,
			want: "app1=updated media1=updated media2=rolled-back media3=updated", begun: "media3 app1", exit: 1},
		"resumed, and all has failed already": {hosts: "media1 media2 media3", policy: Policy{Wave: one}, done: "media1=updated media2=rolled-back",
			want: "media1=updated media2=rolled-back media3=not-started", halted: "and 0 may", exit: 4, notEvenFetching: true},
		"resumed after a bad canary": {hosts: "media1 media2", policy: Policy{Wave: one, MaxFailures: 3}, done: "media1=skipped",
			want: "media1=skipped media2=not-started", halted: "the canary media1 is skipped", exit: 4, notEvenFetching: true},
		"what was not started is tried again": {hosts: "media1 media2", policy: Policy{Wave: one}, done: "media1=updated media2=not-started",
			want: "media1=updated media2=updated", begun: "media2"},
		"stopped in the middle": {hosts: "media1 media2 media3 media4", policy: Policy{Wave: site.Wave{Hosts: 2}}, cancelAfter: 90 * time.Second,
			want: "media1=updated media2=running media3=running media4=not-started", begun: "media1 media2 media3", halted: "interrupted", exit: 4},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, s.tell) })
	}
}

func (s story) tell(t *testing.T) {
	a := &actor{ends: endings(s.ends), staging: map[string]error{}}
	for _, host := range strings.Fields(s.stage) {
		a.staging[host] = errors.New("no space\non it")
	}
	ctx := t.Context()
	if s.cancelAfter > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, s.cancelAfter)
		defer cancel()
	}
	r := s.rollout(a)
	report, err := r.Run(ctx)
	if diff := cmp.Diff(s.want, sum(report)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(strings.Fields(s.begun), inOrder(r, a.begun)); diff != "" && s.begun+strings.Join(a.begun, "") != "" {
		t.Errorf("started: %s", diff)
	}
	if (s.halted == "") != (report.Halted == "") || !strings.Contains(report.Halted, s.halted) {
		t.Errorf("halted for %q, want %q", report.Halted, s.halted)
	}
	exit := 0
	if err != nil {
		exit = problem.KindOf(err).ExitCode()
	}
	if exit != s.exit {
		t.Errorf("exit code %d (%v), want %d", exit, err, s.exit)
	}
	if s.together > 0 && a.together != s.together {
		t.Errorf("%d hosts at once, want %d", a.together, s.together)
	}
	if s.notEvenFetching && len(a.staged) > 0 {
		t.Errorf("%q fetched", a.staged)
	}
	s.everyHostIsExplained(t, report)
}

func (s story) everyHostIsExplained(t *testing.T, report *Report) {
	t.Helper()
	for _, h := range report.Hosts {
		switch {
		case !h.Outcome.good() && (h.Reason == "" || strings.Contains(h.Reason, "\n")):
			t.Errorf("%s has the reason %q", h.Host, h.Reason)
		case h.Outcome == Updated && s.done == "" && (h.Wave == 0 || h.Ended.Sub(h.Started) != time.Minute):
			t.Errorf("%s: wave %d, from %s to %s", h.Host, h.Wave, h.Started, h.Ended)
		}
	}
}

// inOrder sorts the hosts of each wave by the list: they start together.
func inOrder(r *Rollout, begun []string) []string {
	var all []string
	for _, w := range r.waves() {
		for _, i := range w.hosts {
			if slices.Contains(begun, r.Hosts[i].Name) {
				all = append(all, r.Hosts[i].Name)
			}
		}
	}
	if len(all) != len(begun) {
		return begun // some started twice
	}
	return all
}

func TestWhyItWasInterruptedDecidesTheExitCode(t *testing.T) {
	lost := &problem.Error{Kind: problem.Locked, Doing: "keeping the lease", Err: errors.New("another run has it")}
	for cause, want := range map[error]int{context.Canceled: 130, lost: 5, errors.New("the link is gone"): 4} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(cause) })
			report, err := story{hosts: "media1 media2", policy: Policy{Wave: site.Wave{Hosts: 1}}}.rollout(&actor{}).Run(ctx)
			if code := problem.KindOf(err).ExitCode(); code != want || !strings.Contains(err.Error(), cause.Error()) || !strings.Contains(report.Halted, flat(cause.Error())) {
				t.Errorf("%v: exit code %d, %v", cause, code, err)
			}
			if fix := problem.All(err)[0].Fix; !strings.Contains(fix, "media1 goes on by itself") {
				t.Errorf("it is not told that the host goes on: %q", fix)
			}
		})
	}
}

func TestNoRolloutOfNothingOrOfAHostTwice(t *testing.T) {
	for text, want := range map[string]string{"": "it has no hosts", "media1 media1": "host media1 is in it twice"} {
		if _, err := (&Rollout{Hosts: fleetOf(text), Now: time.Now}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// forgetful is a Recording whose disk is full from the nth record on.
type forgetful struct {
	kinds []journal.Kind
	full  int
}

func (f *forgetful) Record(kind journal.Kind, _ string, _ any) error {
	if len(f.kinds) >= f.full {
		return errors.New("no space left")
	}
	f.kinds = append(f.kinds, kind)
	return nil
}

func TestWhatCannotBeRecordedIsNotBegun(t *testing.T) {
	for full, want := range map[int]string{
		0: "media1=not-started media2=not-started", // not even that it begins
		1: "media1=not-started media2=not-started",
		2: "media1=updated media2=not-started", // its end was not recorded
		3: "media1=updated media2=not-started",
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &actor{}
			r := story{hosts: "media1 media2", policy: Policy{Wave: site.Wave{Hosts: 1}}}.rollout(a)
			r.Record = &forgetful{full: full}
			report, err := r.Run(t.Context())
			if got := sum(report); got != want || err == nil || !strings.Contains(err.Error(), "no space left") {
				t.Errorf("full after %d records: %s, %v", full, got, err)
			}
		})
	}
}

// watcher keeps what it was told.
type watcher struct{ events []event.Event }

func (w *watcher) Observe(e event.Event) { w.events = append(w.events, e) }

func TestProgressIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watcher{}
		r := story{hosts: "media1 media2", policy: Policy{Wave: site.Wave{Hosts: 1}}, ends: "media2=skipped"}.rollout(&actor{ends: endings("media2=skipped")})
		r.Observer = w
		_, _ = r.Run(t.Context())
		var told []string
		for _, e := range w.events[1:] {
			told = append(told, strings.TrimSpace(string(e.Kind)+" "+e.Host+": "+e.Text))
		}
		want := []string{
			"wave : wave 1 of 2: media1",
			"begin media1: wave 1 begins",
			"progress : wave 1 of 2, 0 of 2 hosts are over; in work: media1",
			"done media1: updated",
			"wave : wave 2 of 2: media2",
			"begin media2: wave 2 begins",
			"progress : wave 2 of 2, 1 of 2 hosts are over; in work: media2",
			"done media2: skipped: told so",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Error(diff)
		}
	})
}

func TestExpectedTimes(t *testing.T) {
	m := time.Minute
	for name, c := range map[string]struct {
		updates, backs []time.Duration
		want           Estimate
	}{
		"nothing known":      {nil, nil, Estimate{DefaultExpected, m, DefaultExpected}},
		"the longest counts": {[]time.Duration{2 * m, 5 * m, 3 * m}, nil, Estimate{5 * m, m, 5 * m}},
		"what is old is not": {[]time.Duration{m, m, m, m, m, 90 * m}, []time.Duration{2 * m}, Estimate{m, m, 2 * m}},
		"what is no time":    {[]time.Duration{0, -m, 4 * m}, nil, Estimate{4 * m, m, 4 * m}},
	} {
		if got := EstimateOf(c.updates, c.backs, m); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
