package txn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
)

// update is a request with a way back, and the host that it is for.
func update(t testing.TB) (*fakeHost, Request, map[string][]byte) {
	t.Helper()
	h := newHost(t)
	maps.Copy(h.state, served())
	r, secrets := install(t)
	r.Confirm = "60s"
	for i := range r.Steps {
		r.Steps[i].Kind = "swap"
	}
	return h, r, secrets
}

// served is what the host was before.
func served() map[string]string {
	return map[string]string{"packages": "1.1", "licence": "KEY-1234", "container": "old", "unit": ""}
}

// isOld checks that a host is as it was, and that nothing is left behind.
func isOld(t *testing.T, h *fakeHost, id string) {
	t.Helper()
	h.same(served())
	if s := h.summary(id); s.State != StateRolledBack {
		t.Errorf("%+v", s)
	}
	if _, err := os.Stat(h.store().keptDir(id)); !os.IsNotExist(err) {
		t.Error("what was kept for the way back is still there:", err)
	}
	if _, err := os.Stat(h.store().hostFile); !os.IsNotExist(err) {
		t.Error("the host says that it has the new release:", err)
	}
}

func (h *fakeHost) confirmWhenAsked(id string) {
	h.waiting = func() {
		if err := h.store().Confirm(id, ""); err != nil {
			h.t.Fatal(err)
		}
	}
}

func TestConfirmedSwitchIsForGood(t *testing.T) {
	h, r, secrets := update(t)
	id := h.create(r, secrets)
	h.waiting = func() {
		if s := h.summary(id); s.State != StateUnconfirmed || h.settled["container"] > 0 {
			t.Errorf("while it waits it is %s, and settled %v", s.State, h.settled)
		}
		h.same(installed())
		s := h.summary(id)
		if left := s.ConfirmBy.Sub(s.Started); left <= 0 || left > 3*time.Minute || !strings.Contains(s.Words(), "it goes back at 2026-11-22 02:") {
			t.Errorf("until %s: %s", s.ConfirmBy, s.Words())
		}
		if err := h.store().Confirm(id, ""); err != nil {
			t.Fatal(err)
		}
	}
	if result := h.finish(id); !result.Complete() || result.Changed != 3 || result.Unchanged != 1 {
		t.Fatalf("%+v", result)
	}
	h.same(installed())
	checkOver(t, h, id)
	if h.settled["container"] != 1 || h.settled["unit"] != 1 {
		t.Errorf("settled %v", h.settled)
	}
	if err := h.store().Confirm(id, ""); err != nil {
		t.Error("confirming it twice:", err)
	}
	if err := h.store().Confirm(id, "too late"); err == nil || !strings.Contains(err.Error(), "rollback") {
		t.Error("a confirmed switch was taken back:", err)
	}
}

func TestSwitchThatNobodyConfirmsIsTakenBack(t *testing.T) {
	h, r, secrets := update(t)
	id := h.create(r, secrets)
	result := h.finish(id)
	if result.Outcome != RolledBack || !strings.Contains(result.Err().Error(), "nobody confirmed the switch within 60s") {
		t.Fatalf("%+v", result)
	}
	if got := strings.Join(result.Undone, " "); got != "unit container packages" {
		t.Errorf("taken back in the order %s", got)
	}
	isOld(t, h, id)
	if words := h.summary(id).Words(); !strings.Contains(words, "went back from 6.4.2: nobody confirmed the switch within 60s") {
		t.Error(words)
	}
	if err := h.store().Confirm(id, ""); err == nil || !strings.Contains(err.Error(), "went back") {
		t.Error("it was confirmed afterwards:", err)
	}
}

func TestRefusedSwitchSaysWhy(t *testing.T) {
	h, r, secrets := update(t)
	id := h.create(r, secrets)
	if err := h.store().Confirm(id, ""); err == nil || !strings.Contains(err.Error(), "not switched") {
		t.Error("confirmed before it began:", err)
	}
	h.waiting = func() {
		if err := h.store().Confirm(id, "media1 answers 502"); err != nil {
			t.Fatal(err)
		}
	}
	if result := h.finish(id); result.Outcome != RolledBack || !strings.Contains(result.Err().Error(), "media1 answers 502") {
		t.Fatalf("%+v", result)
	}
	isOld(t, h, id)
}

// callOff tells a transaction to go back.
func (h *fakeHost) callOff(id string) {
	h.t.Helper()
	if err := h.store().Confirm(id, "aborted by pat"); err != nil {
		h.t.Fatal(err)
	}
}

// What may only begin in a maintenance window and is still fetched when that closes begins no more.
func TestAnApplyHalfBeginsBeforeItsTimeOrNotAtAll(t *testing.T) {
	for name, c := range map[string]struct {
		before time.Duration // since the host's first moment
		cut    bool          // it is cut off in its apply half, and goes on after the time
		want   Outcome
	}{
		"in time":                {time.Hour, false, RolledBack}, // nobody confirms it
		"late":                   {10 * time.Second, false, NotDrained},
		"begun in time":          {time.Hour, true, RolledBack},
		"late, without way back": {10 * time.Second, false, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			h, r, secrets := update(t)
			r.Before = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC).Add(c.before)
			if c.want == Failed {
				r.Confirm, r.Policy = "", Allow
			}
			id := h.create(r, secrets)
			h.during["packages"] = func() { h.moment += 60 }
			if c.cut {
				h.during["container"] = func() { delete(h.during, "container"); h.moment += 7200; panic(crash{}) }
				if _, crashed := h.execute(id); !crashed {
					t.Fatal("it was not cut off")
				}
			}
			result := h.finish(id)
			if result.Outcome != c.want {
				t.Fatalf("%+v", result)
			}
			late := strings.Contains(fmt.Sprint(result.Err()), "it may not begin any more")
			if late != (c.before < time.Minute) || late && h.applies["container"] > 0 {
				t.Errorf("%v; the container was changed %d times", result.Err(), h.applies["container"])
			}
			if s := h.summary(id); !s.Fetched || s.Confirmed {
				t.Errorf("it says of itself %+v", s)
			}
		})
	}
}

func TestWhatIsCalledOffEndsWhereNothingIsInItsMiddle(t *testing.T) {
	for name, c := range map[string]struct {
		at   string // the step in whose middle it is told; empty: before it is run
		want string // what was taken back
	}{
		"before it began":            {"", ""},
		"while it fetches":           {"packages", "packages"},
		"after its apply half began": {"container", "unit container packages"},
	} {
		t.Run(name, func(t *testing.T) {
			h, r, secrets := update(t)
			id := h.create(r, secrets)
			if c.at == "" {
				h.callOff(id)
			} else {
				h.during[c.at] = func() { h.callOff(id) }
			}
			result := h.finish(id)
			if got := strings.Join(result.Undone, " "); result.Outcome != RolledBack || got != c.want || !strings.Contains(result.Err().Error(), "aborted by pat") {
				t.Fatalf("%+v", result)
			}
			isOld(t, h, id)
		})
	}
}

func TestWhatWaitsForSecretsNeedsNoneToBeCalledOff(t *testing.T) {
	h, r, secrets := update(t)
	id := h.create(r, secrets)
	h.reboot()
	if s := h.summary(id); s.State != StateWaiting {
		t.Fatal(s.State)
	}
	h.callOff(id)
	if result := h.finish(id); result.Outcome != RolledBack {
		t.Fatalf("%+v", result)
	}
	isOld(t, h, id)
}

func TestFetchingAheadOfTimeIsCalledOff(t *testing.T) {
	h, r, secrets := update(t)
	r.Confirm, r.Stage = "", true
	r.Steps = slices.DeleteFunc(r.Steps, func(s step.Spec) bool { return s.Half != step.Fetch })
	id := h.create(r, secrets)
	h.callOff(id)
	if result := h.finish(id); result.Outcome != Failed || !strings.Contains(result.Err().Error(), "aborted by pat") {
		t.Fatalf("%+v", result)
	}
	h.same(served())
}

func TestWhatHasNoWayBackIsNotCalledOff(t *testing.T) {
	h, r, secrets := update(t)
	r.Confirm = ""
	id := h.create(r, secrets)
	if err := h.store().Confirm(id, "aborted by pat"); err == nil || !strings.Contains(err.Error(), "no way back") {
		t.Error(err)
	}
}

func TestFailedStepTakesEverythingBack(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want Outcome
	}{
		"fails":        {errors.New("no such image"), RolledBack},
		"is recording": {fmt.Errorf("lobby: %w", step.ErrNotDrained), NotDrained},
	} {
		t.Run(name, func(t *testing.T) {
			h, r, secrets := update(t)
			h.broken["container"] = c.err
			id := h.create(r, secrets)
			result := h.finish(id)
			if result.Outcome != c.want || result.Step != "container" || result.Err() == nil {
				t.Fatalf("%+v", result)
			}
			h.same(served())
			if s := h.summary(id); !s.State.Finished() || s.State == StateDone {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestHostThatCannotGoBackIsQuarantined(t *testing.T) {
	h, r, secrets := update(t)
	h.broken["unit"], h.unable["container"] = errors.New("no such unit"), true
	id := h.create(r, secrets)
	result := h.finish(id)
	if result.Outcome != Quarantined || result.Step != "container" || !strings.Contains(result.Problems[0].Fix, "valtctl repair") ||
		!strings.Contains(result.Err().Error(), "no such unit") {
		t.Fatalf("%+v", result)
	}
	if h.state["packages"] != "1.2" {
		t.Error("what came before the step that is stuck was taken back all the same")
	}
	if s := h.summary(id); s.State != StateQuarantined {
		t.Errorf("%+v", s)
	}
	if _, err := os.Stat(h.store().keptDir(id)); err != nil {
		t.Error("what is needed to go back is gone:", err)
	}
}

func TestStepWithoutAWayBackIsNamed(t *testing.T) {
	h, r, secrets := update(t)
	r.Steps[0].Kind = "set"
	id := h.create(r, secrets)
	if result := h.finish(id); result.Outcome != RolledBack || strings.Join(result.OneWay, " ") != "packages" {
		t.Fatalf("%+v", result)
	}
}

func TestStageBringsNoHostToItsRelease(t *testing.T) {
	h, r, secrets := update(t)
	r.Confirm, r.Stage = "", true
	if _, err := h.store().Create(r, secrets, h.kinds()); err == nil || !strings.Contains(err.Error(), "fetch half") {
		t.Error("steps of the apply half were accepted:", err)
	}
	r.Steps = r.Steps[:2]
	id := h.create(r, secrets)
	if result := h.finish(id); result.Outcome != Done {
		t.Fatalf("%+v", result)
	}
	if _, err := os.Stat(h.store().hostFile); !os.IsNotExist(err) {
		t.Error("the host says that it has the new release:", err)
	}
}

// endings are the ways an update can end, with what it has come to then.
func endings() map[string]struct {
	prepare func(h *fakeHost, id string)
	want    Outcome
	state   func() map[string]string
} {
	type ending = struct {
		prepare func(h *fakeHost, id string)
		want    Outcome
		state   func() map[string]string
	}
	return map[string]ending{
		"confirmed":     {func(h *fakeHost, id string) { h.confirmWhenAsked(id) }, Done, installed},
		"not confirmed": {func(*fakeHost, string) {}, RolledBack, served},
		"called off":    {func(h *fakeHost, id string) { h.during["packages"] = func() { h.callOff(id) } }, RolledBack, served},
		"broken":        {func(h *fakeHost, _ string) { h.broken["unit"] = errors.New("no") }, RolledBack, served},
	}
}

func TestUpdateCutAtEveryMomentIsOldOrNew(t *testing.T) {
	for name, e := range endings() {
		whole, r, secrets := update(t)
		id := whole.create(r, secrets)
		e.prepare(whole, id)
		before := whole.moment
		if result := whole.finish(id); result.Outcome != e.want {
			t.Fatalf("%s: %+v", name, result)
		}
		moments := whole.moment - before
		for _, after := range afterCrashes(secrets) {
			for at := 1; at <= moments; at++ {
				h, r, secrets := update(t)
				id := h.create(r, secrets)
				e.prepare(h, id)
				h.crashAt = h.moment + at
				if _, crashed := h.execute(id); !crashed {
					t.Fatalf("%s at %d: it did not crash", name, at)
				}
				h.crashAt = 0
				after.do(h, id)
				if result := h.finish(id); result.Outcome != e.want {
					t.Fatalf("%s, %s at %d of %d: %+v", name, after.name, at, moments, result)
				}
				h.same(e.state())
			}
		}
	}
}

func TestDeadlineBeginsAnewAtBootAndOnlyThen(t *testing.T) {
	h, r, secrets := update(t)
	id := h.create(r, secrets)
	looks := 0
	h.waiting = func() {
		if looks++; looks == 30 {
			panic(crash{})
		}
	}
	if _, crashed := h.execute(id); !crashed {
		t.Fatal("it did not crash")
	}
	first, err := h.store().arm(id, h.boot, time.Minute)
	again, err2 := h.store().arm(id, h.boot, time.Minute)
	if err != nil || err2 != nil || first != again {
		t.Error("the same boot's deadline moves:", first, again, err, err2)
	}
	h.reboot()
	if next, err := h.store().arm(id, h.boot, time.Minute); err != nil || next <= first {
		t.Error("another boot keeps the old deadline:", first, next, err)
	}
}

func TestJournalTellsAnUpdateInOrder(t *testing.T) {
	h, r, secrets := update(t)
	id := h.create(r, secrets)
	h.finish(id)
	records, _, err := h.store().Journal(id)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, rec := range records {
		switch rec.Kind {
		case journal.Switched, journal.Undoing, journal.Undone, journal.End:
			kinds = append(kinds, string(rec.Kind))
		}
	}
	if got := strings.Join(kinds, " "); got != "switched undoing undone undone undone end" {
		t.Error(got)
	}
}

// gateStep keeps something out until the change is for good; untidy never gets rid of what it keeps.
type (
	gateStep struct {
		open *bool
		err  error
	}
	untidy struct{ err error }
)

func (g gateStep) Inspect(context.Context, *step.Machine) (step.Finding, error) {
	return step.Finding{Change: *g.open, Disrupts: step.Nothing}, nil
}
func (g gateStep) Apply(context.Context, *step.Machine) error { *g.open = false; return nil }
func (g gateStep) Undo(context.Context, *step.Machine) error  { *g.open = true; return nil }
func (g gateStep) Admit(context.Context, *step.Machine) error {
	if g.err == nil {
		*g.open = true
	}
	return g.err
}

func (untidy) Inspect(context.Context, *step.Machine) (step.Finding, error) {
	return step.Finding{}, nil
}
func (untidy) Apply(context.Context, *step.Machine) error    { return nil }
func (untidy) Undo(context.Context, *step.Machine) error     { return nil }
func (u untidy) Settle(context.Context, *step.Machine) error { return u.err }

// gated is an update whose first change closes a gate, and whose last step tidies.
func gated(t *testing.T, admit, tidy error) (h *fakeHost, r Request, secrets map[string][]byte, kinds step.Registry, open *bool) {
	h, r, secrets = update(t)
	open = new(bool)
	*open = true
	kinds = h.kinds()
	kinds["gate"] = step.Kind{Name: "gate", New: func(json.RawMessage) (step.Step, error) { return gateStep{open, admit}, nil }}
	kinds["tidy"] = step.Kind{Name: "tidy", New: func(json.RawMessage) (step.Step, error) { return untidy{tidy}, nil }}
	gate := step.Spec{ID: "drain", Kind: "gate", Title: "the gate", Half: step.Apply, Params: []byte("{}")}
	r.Steps = slices.Insert(slices.Clone(r.Steps), 2, gate)
	r.Steps = append(r.Steps, step.Spec{ID: "prune", Kind: "tidy", Title: "images without use", Half: step.Apply, Params: []byte("{}")})
	return h, r, secrets, kinds, open
}

// runGated runs it with somebody who confirms.
func runGated(t *testing.T, h *fakeHost, r Request, secrets map[string][]byte, kinds step.Registry) Result {
	t.Helper()
	id, err := h.store().Create(r, secrets, kinds)
	if err != nil {
		t.Fatal(err)
	}
	h.waiting = func() { _ = h.store().Confirm(id, "") }
	result, err := h.store().Execute(t.Context(), id, h.machine(), kinds)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// A host that is confirmed serves, whatever cannot be tidied.
func TestTidyingThatFailsKeepsNoGateClosed(t *testing.T) {
	h, r, secrets, kinds, open := gated(t, nil, errors.New("no space left on device"))
	result := runGated(t, h, r, secrets, kinds)
	if result.Outcome != Done || !*open || len(result.Told) != 1 || !strings.Contains(result.Told[0], "images without use: no space left") {
		t.Errorf("%+v, open: %v", result, *open)
	}
	var now facts.Installed
	if err := readJSON(h.store().hostFile, &now); err != nil || now.Release != r.Release {
		t.Errorf("it says of itself %+v, %v", now, err)
	}
}

// A gate that does not open is told, and the host says that it has what was confirmed: nobody
// takes that back.
func TestAGateThatDoesNotOpenIsToldAndNothingIsTakenBack(t *testing.T) {
	h, r, secrets, kinds, open := gated(t, errors.New("nft fails"), nil)
	result := runGated(t, h, r, secrets, kinds)
	if result.Outcome != Quarantined || *open || !strings.Contains(result.Err().Error(), "it has 6.4.2 and serves") ||
		!strings.Contains(result.Problems[0].Fix, "valtctl undrain app1") {
		t.Errorf("%+v, %v", result, result.Err())
	}
	var now facts.Installed
	if err := readJSON(h.store().hostFile, &now); err != nil || now.Release != r.Release || h.state["container"] != installed()["container"] {
		t.Errorf("it says of itself %+v, %v, and is %v", now, err, h.state)
	}
}

// A half that is not over in time is taken back: no step may hold a host for ever.
func TestAHalfThatIsNotOverInTimeIsTakenBack(t *testing.T) {
	h, r, secrets := update(t)
	r.ApplyWithin = "20ms"
	id := h.create(r, secrets)
	h.during["container"] = func() { time.Sleep(50 * time.Millisecond) }
	result := h.finish(id)
	if result.Outcome != RolledBack || !strings.Contains(result.Err().Error(), "it was not over within 20ms") {
		t.Errorf("%+v, %v", result, result.Err())
	}
	isOld(t, h, id)
}
