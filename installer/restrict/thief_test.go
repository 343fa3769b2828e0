package restrict

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

// noon is a host at an hour at which nothing may be changed.
func noon(t *testing.T) *judgedHost {
	h := host(t)
	h.at, h.open = opens().Add(10*time.Hour), false
	return h
}

const theirs = "20261129T024500Z-00000001" // a person's transaction

// attended is a host that a person is changing, in the window.
func attended(t *testing.T) *judgedHost {
	h := host(t)
	h.past = []txn.Summary{{ID: theirs, Key: "KEYOFAPERSON", Who: "pat@laptop", State: txn.StateRunning, Release: "6.5.0", Started: h.at}}
	return h
}

// TestWhatAThiefAsksForAndWhen is everything that the key could do, tried at noon, in the window,
// and while a person is at work.
func TestWhatAThiefAsksForAndWhen(t *testing.T) {
	start := func(change func(*txn.Request)) func(*testing.T, *judgedHost) error {
		return func(t *testing.T, h *judgedHost) error {
			r := update()
			change(&r)
			return h.start(t, r)
		}
	}
	taken := keyuse.Reason("")
	for name, c := range map[string]struct {
		try                    func(*testing.T, *judgedHost) error
		noon, window, attended keyuse.Reason // why it is refused; taken: it is not
	}{
		"a drained update":           {start(func(*txn.Request) {}), keyuse.OutsideHours, taken, keyuse.Busy},
		"one that disturbs nothing":  {start(func(r *txn.Request) { r.Steps = mine() }), keyuse.OutsideHours, keyuse.Foreign, keyuse.Busy},
		"with a person's own key":    {start(func(r *txn.Request) { r.Key = "KEYOFAPERSON" }), keyuse.OutsideHours, taken, keyuse.Busy},
		"with an endless apply half": {start(func(r *txn.Request) { r.ApplyWithin = "100h" }), keyuse.OutsideHours, keyuse.Foreign, keyuse.Busy},
		"a step of a thief's":        {start(func(r *txn.Request) { r.Steps[0].Params = []byte(`{"digest":"sha256:bb"}`) }), keyuse.OutsideHours, keyuse.Foreign, keyuse.Busy},
		"fetching":                   {func(t *testing.T, h *judgedHost) error { return h.start(t, stage()) }, keyuse.OutsideHours, taken, keyuse.Busy},
		"a person's, confirmed": {func(t *testing.T, h *judgedHost) error {
			_, err := h.TxnConfirm(t.Context(), agent.TxnConfirmRequest{ID: theirs})
			return err
		}, keyuse.Foreign, keyuse.Foreign, keyuse.Foreign},
		"a person's, taken back": {func(t *testing.T, h *judgedHost) error {
			_, err := h.TxnConfirm(t.Context(), agent.TxnConfirmRequest{ID: theirs, Undo: "theft"})
			return err
		}, keyuse.Foreign, keyuse.Foreign, keyuse.Foreign},
		"a person's, gone on with": {func(t *testing.T, h *judgedHost) error {
			_, err := h.TxnRestart(t.Context(), agent.TxnRestartRequest{ID: theirs})
			return err
		}, keyuse.Foreign, keyuse.Foreign, keyuse.Foreign},
		"a person's step, answered": {func(t *testing.T, h *judgedHost) error {
			_, err := h.Answer(t.Context(), step.Answer{Nonce: "x"})
			return err
		}, keyuse.Foreign, keyuse.Foreign, keyuse.Foreign},
		"a token that outranks": {func(t *testing.T, h *judgedHost) error {
			_, err := h.Lease(t.Context(), agent.LeaseRequest{Action: agent.LeaseFence, Token: 42})
			return err
		}, taken, taken, keyuse.Busy},
		"the lease": {func(t *testing.T, h *judgedHost) error {
			_, err := h.Lease(t.Context(), agent.LeaseRequest{Action: agent.LeaseTake, Who: "thief", Run: "thief"})
			return err
		}, keyuse.Foreign, keyuse.Foreign, keyuse.Foreign},
	} {
		for when, h := range map[string]*judgedHost{"at noon": noon(t), "in the window": host(t), "during a person's run": attended(t)} {
			want := map[string]keyuse.Reason{"at noon": c.noon, "in the window": c.window, "during a person's run": c.attended}[when]
			t.Run(name+" "+when, func(t *testing.T) {
				err := c.try(t, h)
				if (err == nil) != (want == taken) {
					t.Fatalf("got %v, and it should be refused for %q", err, want)
				}
				if got := h.refusals(); want != taken && !slices.Equal(got, []keyuse.Reason{want}) {
					t.Errorf("the record says %q, and it was %q: %v", got, want, err)
				}
				if want != taken && len(h.started)+h.answered > 0 {
					t.Error("and it was done")
				}
			})
		}
	}
}

func TestAnUpdateBeginsOnlyInsideAWindowByAClockThatIsBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*judgedHost, *txn.Request)
		want   keyuse.Reason // empty: it begins
	}{
		"in the window": {func(*judgedHost, *txn.Request) {}, ""},
		"when it is looked ahead": {func(h *judgedHost, _ *txn.Request) {
			h.open, h.ahead = false, true
		}, keyuse.OutsideHours},
		"by a clock that nobody keeps": {func(h *judgedHost, _ *txn.Request) { h.synced = false }, keyuse.Clock},
		"fetching, by such a clock": {func(h *judgedHost, r *txn.Request) {
			h.synced, *r = false, stage()
		}, keyuse.Clock},
		"where the site has no window": {func(h *judgedHost, _ *txn.Request) { h.view.site.Updates.Windows = nil }, keyuse.OutsideHours},
		"so late that the drain outlasts it": {func(h *judgedHost, _ *txn.Request) {
			h.at = opens().Add(2*time.Hour + 56*time.Minute)
		}, keyuse.OutsideHours},
		"as late as the drain allows": {func(h *judgedHost, _ *txn.Request) {
			h.at = opens().Add(2*time.Hour + 54*time.Minute)
		}, ""},
		"a release that is not offered": {func(h *judgedHost, _ *txn.Request) {
			h.view.offered = refuse(keyuse.NotOffered, "release", "it is for the canary alone")
		}, keyuse.NotOffered},
		"fetching one that is not offered": {func(h *judgedHost, r *txn.Request) {
			h.view.offered, *r = refuse(keyuse.NotOffered, "release", "it is for 0 %% of the sites"), stage()
		}, keyuse.NotOffered},
		"where nothing differs": {func(h *judgedHost, _ *txn.Request) { h.differs = false }, keyuse.Foreign},
		"in quarantine": {func(h *judgedHost, _ *txn.Request) {
			h.past = []txn.Summary{{ID: theirs, State: txn.StateQuarantined}}
		}, keyuse.Busy},
		"a host that cannot say what it is at": {func(h *judgedHost, _ *txn.Request) {
			h.past = []txn.Summary{{ID: theirs, State: txn.StateUnreadable}}
		}, keyuse.Busy},
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t)
			r := update()
			c.change(h, &r)
			err := h.start(t, r)
			if (err == nil) != (c.want == "") || c.want != "" && (len(h.started) > 0 || h.refusals()[0] != c.want) {
				t.Errorf("got %v, recorded as %q", err, h.refusals())
			}
		})
	}
}

// What the host does not know of who asks it does not take from who asks.
func TestNothingForgedReachesTheJournal(t *testing.T) {
	h := host(t)
	r := update()
	r.Who, r.PlanDigest, r.Before, r.ApplyWithin = "director@hospital", "forged", opens().Add(99*time.Hour), "1ms"
	if err := h.start(t, r); err != nil {
		t.Fatal(err)
	}
	got := h.started[0].Request
	if !strings.HasPrefix(got.Key, ownKey) || got.Who != "the schedule's key of app1" || got.PlanDigest != "own-digest" || !got.Before.Equal(opens().Add(3*time.Hour)) || got.ApplyWithin != "2h5m0s" {
		t.Errorf("begun by %q with the plan %q, until %s, its apply half within %s", got.Who, got.PlanDigest, got.Before, got.ApplyWithin)
	}
	id := h.past[0].ID
	if _, err := h.TxnConfirm(t.Context(), agent.TxnConfirmRequest{ID: id, Undo: "pat@laptop\nsays \x1b[2Jso" + strings.Repeat("!", 5000)}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Answer(t.Context(), step.Answer{Nonce: "x", Refused: "lobby\x1b]0;"}); err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{h.confirms[0].Undo, h.answers[0].Refused} {
		if !strings.HasPrefix(said, "the schedule's key of app1 says: ") || strings.ContainsAny(said, "\n\x1b") || len(said) > 2100 {
			t.Errorf("the journal would get %.80q", said)
		}
	}
	if _, err := h.Answer(t.Context(), step.Answer{Nonce: "x"}); err != nil || h.answers[1].Refused != "" {
		t.Errorf("a yes is made a no: %v, %q", err, h.answers[1].Refused)
	}
}

// A host is tried with a release once in a window, and not for ever.
func TestAReleaseIsTriedOnceInAWindow(t *testing.T) {
	h := host(t)
	again := func(key string) error {
		r := update()
		r.Key = key
		return h.start(t, r)
	}
	if err := again("FIRST"); err != nil {
		t.Fatal(err)
	}
	h.open = false // it is asked once more as the window has closed
	if err := again("FIRST"); err != nil || len(h.started) != 1 || len(h.restarts) != 1 || h.restarts[0].ID != h.past[0].ID || string(h.restarts[0].Secrets["licence"]) != "own" {
		t.Errorf("a request whose answer was lost is not answered again: %v, %d begun, %+v", err, len(h.started), h.restarts)
	}
	h.open = true
	for _, end := range []txn.State{txn.StateRolledBack, txn.StateDone, txn.StateNotDrained, txn.StateFailed} {
		h.ends(end, true)
		if err := again("SECOND"); problem.KindOf(err) != problem.Halted || len(h.started) != 1 {
			t.Errorf("what is %s is tried again in the same window: %v", end, err)
		}
	}
	h.ends(txn.StateFailed, false) // nothing that serves was touched
	for n := range mostBegun - 1 {
		if err := again(fmt.Sprint("FETCH", n)); err != nil {
			t.Fatal(err)
		}
		h.ends(txn.StateFailed, false)
	}
	if err := again("MORE"); problem.KindOf(err) != problem.Halted {
		t.Errorf("there is no end to it: %v", err)
	}
}

func TestAReleaseThatGoesBackAgainAndAgainWaitsForAPerson(t *testing.T) {
	const back, done, busy = txn.StateRolledBack, txn.StateDone, txn.StateNotDrained
	for name, c := range map[string]struct {
		own     []txn.State // newest first, a week apart
		persons []txn.State // newer than those
		refused bool
	}{
		"it went back twice":                      {[]txn.State{back, back}, nil, false},
		"three times":                             {[]txn.State{back, back, back}, nil, true},
		"three times, long after it was there":    {[]txn.State{back, back, back, done}, nil, true},
		"and a person has brought the host there": {[]txn.State{back, back, back}, []txn.State{done}, false},
		"and a person could not either":           {[]txn.State{back, back, back}, []txn.State{back}, true},
		"recordings went on in three windows":     {[]txn.State{busy, busy, busy, busy}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t)
			for _, s := range c.persons {
				h.past = append(h.past, txn.Summary{ID: "person", Key: "P", Release: "6.5.0", State: s, Fetched: true})
			}
			for week, s := range c.own {
				at := opens().AddDate(0, 0, -7*(week+1))
				h.past = append(h.past, txn.Summary{ID: fmt.Sprint(week), Key: inWindow(at) + "X", Release: "6.5.0", State: s, Fetched: true, Started: at})
			}
			if err := h.start(t, update()); (err != nil) != c.refused || c.refused && problem.KindOf(err) != problem.Trust {
				t.Error(err)
			}
		})
	}
}

func TestFetchingIsCounted(t *testing.T) {
	h := host(t)
	h.open, h.ahead = false, true
	for n := range mostStages {
		r := stage()
		r.Key = fmt.Sprint("S", n)
		if err := h.start(t, r); err != nil {
			t.Fatal(err)
		}
		h.ends(txn.StateDone, true)
	}
	if err := h.start(t, stage()); problem.KindOf(err) != problem.Halted {
		t.Errorf("it fetches for the %dth time in a day: %v", mostStages+1, err)
	}
	if got := h.started[0].Request.Before; !got.IsZero() {
		t.Errorf("what only fetches ends at %s", got)
	}
	h.at = h.at.Add(25 * time.Hour)
	if err := h.start(t, stage()); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

// Two that ask at the same time are judged one after the other.
func TestTwoThievesAtOnceBeginOneUpdate(t *testing.T) {
	h := host(t)
	h.looks = 300 * time.Millisecond
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() {
			r := update()
			r.Key = fmt.Sprint("K", i)
			_, errs[i] = h.TxnStart(t.Context(), agent.TxnStartRequest{Request: r})
		})
	}
	all.Wait()
	if begun := len(errs) - len(slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })); begun != 1 || len(h.started) != 1 {
		t.Errorf("%d of %d were begun: %v", begun, len(errs), errors.Join(errs...))
	}
}

// The host confirms by its own word, not by that of whoever has the key.
func TestOnlyAHostThatIsWellIsConfirmed(t *testing.T) {
	for name, c := range map[string]struct {
		state txn.State
		ill   int
		ok    bool
	}{
		"well":                      {txn.StateUnconfirmed, 0, true},
		"well after a moment":       {txn.StateUnconfirmed, 3, true},
		"ill":                       {txn.StateUnconfirmed, 1000, false},
		"not switched yet":          {txn.StateRunning, 0, false},
		"ended, which it is told":   {txn.StateRolledBack, 1000, true},
		"confirmed, and being tidy": {"confirmed", 1000, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := host(t)
				if err := h.start(t, update()); err != nil {
					t.Fatal(err)
				}
				h.ill, h.past[0].State = c.ill, c.state
				if c.state == "confirmed" {
					h.past[0].State, h.past[0].Confirmed = txn.StateRunning, true
				}
				_, err := h.TxnConfirm(t.Context(), agent.TxnConfirmRequest{ID: h.past[0].ID, Fence: 42})
				if (err == nil) != c.ok || (h.answered == 1) != c.ok {
					t.Errorf("got %v, and %d came through", err, h.answered)
				}
				if _, err := h.TxnConfirm(t.Context(), agent.TxnConfirmRequest{ID: h.past[0].ID, Undo: "it is ill"}); err != nil {
					t.Errorf("it cannot be taken back: %v", err)
				}
			})
		})
	}
}

// What was begun in the window is brought to its end after it.
func TestWhatWasBegunGoesOnAfterTheWindow(t *testing.T) {
	h := host(t)
	if err := h.start(t, update()); err != nil {
		t.Fatal(err)
	}
	h.at, h.open, h.past[0].State = opens().Add(8*time.Hour), false, txn.StateInterrupted
	id := h.past[0].ID
	if _, err := h.Lease(t.Context(), agent.LeaseRequest{Action: agent.LeaseFence, Token: 43}); err != nil {
		t.Errorf("a run that goes on is not announced: %v", err)
	}
	if _, err := h.TxnRestart(t.Context(), agent.TxnRestartRequest{ID: id, Fence: 43}); err != nil {
		t.Errorf("it does not go on: %v", err)
	}
	h.past[0].State = txn.StateUnconfirmed
	if _, err := h.TxnConfirm(t.Context(), agent.TxnConfirmRequest{ID: id, Fence: 43}); err != nil {
		t.Errorf("it is not confirmed: %v", err)
	}
}

func TestWhatTheKeyDidIsWrittenDownBeforeItIsDone(t *testing.T) {
	h := host(t)
	if err := h.start(t, update()); err != nil {
		t.Fatal(err)
	}
	h.past[0].State = txn.StateUnconfirmed
	if _, err := h.TxnConfirm(t.Context(), agent.TxnConfirmRequest{ID: h.past[0].ID, Undo: "ill"}); err != nil {
		t.Fatal(err)
	}
	got := keyuse.Read(h.judge.Record.Dir, 10).Uses
	if len(got) != 2 || got[0].Call != keyuse.Undo || got[1].Call != keyuse.Update || got[1].Release != "6.5.0" || got[1].Transaction != h.past[0].ID ||
		got[1].Who != "the schedule's key of app1" || !got[1].First.Equal(h.at) {
		t.Errorf("the record is %+v", got)
	}
	full := host(t)
	full.judge.Record.Dir = filepath.Join(full.judge.Record.Dir, "file", "below")
	if err := os.WriteFile(filepath.Dir(full.judge.Record.Dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := full.start(t, update()); err == nil || len(full.started) > 0 {
		t.Errorf("where nothing can be written it is begun: %v", err)
	}
	damaged := host(t) // and there is no way to put the record aside
	uses := filepath.Join(damaged.judge.Record.Dir, "uses.json")
	if err := errors.Join(os.WriteFile(uses, []byte("{"), 0o600), os.MkdirAll(filepath.Join(uses+".damaged", "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := damaged.start(t, update()); err == nil || len(damaged.started) > 0 {
		t.Errorf("what cannot be written down is begun: %v", err)
	}
}

func TestForPracticeTheWindowsAreAheadOfTheHostsClock(t *testing.T) {
	h := host(t)
	h.synced, h.judge.Clock.Given, h.judge.Clock.Ahead = false, true, 100*time.Hour
	h.at = h.at.Add(-100 * time.Hour)
	if err := h.start(t, update()); err != nil {
		t.Fatal(err)
	}
	if got := h.started[0].Request.Before; !got.Equal(opens().Add(-97 * time.Hour)) {
		t.Errorf("by its own clock it may begin until %s", got)
	}
	h.ends(txn.StateRolledBack, true)
	r := update()
	r.Key = "AGAIN"
	if err := h.start(t, r); problem.KindOf(err) != problem.Halted {
		t.Errorf("it is tried twice: %v", err)
	}
}
