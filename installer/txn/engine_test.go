package txn

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

func TestASecondTransactionChangesNothing(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	h.finish(h.create(request, secrets))
	result := h.finish(h.create(request, secrets))
	if !result.Complete() || result.Changed != 0 || result.Unchanged != 4 {
		t.Errorf("%+v", result)
	}
	for key, n := range h.applies {
		if n != 1 {
			t.Errorf("%s was applied %d times", key, n)
		}
	}
}

func TestTheJournalTellsEachStepBeforeAndAfter(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	h.finish(id)
	var got []string
	for _, r := range h.records(id) {
		got = append(got, strings.TrimSpace(string(r.Kind)+" "+r.Step))
	}
	want := []string{
		"begin", "apply packages", "applied packages", "apply licence", "applied licence", "half",
		"apply container", "applied container", "apply unit", "applied unit", "end",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	var begun beginData
	if err := h.records(id)[0].Decode(&begun); err != nil || begun.PlanDigest != "abc" || begun.Who != "pat@laptop" {
		t.Errorf("%+v, %v", begun, err)
	}
}

func TestAFailedStepEndsTheTransaction(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	h.broken["licence"] = &problem.Error{Kind: problem.Trust, Doing: "checking", Object: "the licence", Err: errors.New("it is no licence"), Fix: "Ask for another."}
	id := h.create(request, secrets)
	result := h.finish(id)
	if result.Outcome != Failed || result.Step != "licence" || problem.KindOf(result.Err()) != problem.Trust {
		t.Errorf("%+v", result)
	}
	h.same(map[string]string{"packages": "1.2"})
	s := h.summary(id)
	if s.State != StateFailed || s.LastStep != "licence" || !strings.Contains(s.Error, "it is no licence") {
		t.Errorf("%+v", s)
	}
	if _, err := os.Stat(filepath.Join(h.root, "/var/lib/valtctl/host.json")); err == nil {
		t.Error("a host that is not finished says what it is")
	}
	if _, err := os.Stat(h.store().runDir(id)); err == nil {
		t.Error("secrets are left behind")
	}
	h.create(request, secrets) // nothing stands in the way of trying again
}

func TestAStepThatDoesNotTakeIsAFailure(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	h.stuck["container"] = true
	result := h.finish(h.create(request, secrets))
	if result.Outcome != Failed || result.Step != "container" || !strings.Contains(result.Err().Error(), "still differs") {
		t.Errorf("%+v", result)
	}
}

// serving is a request whose second step would restart the engine.
func serving(t *testing.T, policy Policy) Request {
	t.Helper()
	r, _ := install(t)
	r.Policy = policy
	r.Steps = []step.Spec{
		spec(t, step.Fetch, setParams{Key: "file", Value: "1"}),
		spec(t, step.Fetch, setParams{Key: "daemon", Value: "1", Disrupts: step.Engine}),
		spec(t, step.Apply, setParams{Key: "container", Value: "1"}, "daemon"),
		spec(t, step.Apply, setParams{Key: "health", Value: "1"}, "container"),
		spec(t, step.Apply, setParams{Key: "unit", Value: "1"}, "file"),
	}
	return r
}

func TestOnAServingHostWhatDisruptsIsDeferredAndWhatNeedsItSkipped(t *testing.T) {
	h := newHost(t)
	id := h.create(serving(t, Defer), nil)
	result := h.finish(id)
	if result.Outcome != Done || result.Complete() ||
		!slices.Equal(result.Deferred, []string{"daemon"}) || !slices.Equal(result.Skipped, []string{"container", "health"}) {
		t.Errorf("%+v", result)
	}
	h.same(map[string]string{"file": "1", "unit": "1"})
	for _, r := range h.records(id) {
		var why reasonData
		if r.Kind == journal.Skipped && (r.Decode(&why) != nil || !strings.Contains(why.Reason, "needs")) {
			t.Errorf("%s was skipped without a reason: %s", r.Step, r.Data)
		}
	}
	if _, err := os.Stat(filepath.Join(h.root, "/var/lib/valtctl/host.json")); err == nil {
		t.Error("a host with deferred steps says it has the release")
	}
}

func TestWhatDisruptsIsDoneWhereNothingServes(t *testing.T) {
	h := newHost(t)
	if result := h.finish(h.create(serving(t, Allow), nil)); !result.Complete() || result.Changed != 5 {
		t.Errorf("%+v", result)
	}
}

func TestWhatIsAlreadyThereDisruptsNothing(t *testing.T) {
	h := newHost(t)
	h.state["daemon"] = "1"
	if result := h.finish(h.create(serving(t, Defer), nil)); !result.Complete() {
		t.Errorf("%+v", result)
	}
}

func TestAStepThatDoesNotSayWhatItDisruptsIsTakenAtItsWorst(t *testing.T) {
	worst := step.Spec{Disrupts: step.Host}
	if got := disrupts(worst, step.Finding{}); got != step.Host {
		t.Error(got)
	}
	if got := disrupts(worst, step.Finding{Disrupts: step.Nothing}); got != step.Nothing {
		t.Error(got)
	}
}

func TestAStopOfTheHostOnlyInterrupts(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	ctx, stop := context.WithCancel(t.Context())
	h.during["packages"] = stop
	h.broken["packages"] = context.Canceled
	result, err := h.store().Execute(ctx, id, h.machine(), h.kinds())
	if err != nil || result.Outcome != Interrupted || result.Err() == nil {
		t.Fatal(result, err)
	}
	if s := h.summary(id); s.State != StateInterrupted {
		t.Errorf("%+v", s)
	}
	h.during, h.broken = nil, nil
	if result := h.finish(id); !result.Complete() {
		t.Errorf("%+v", result)
	}
	h.same(installed())
}

func TestTwoEnginesNeverRunOneTransaction(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	var second error
	h.during["container"] = func() {
		_, second = h.store().Execute(t.Context(), id, h.machine(), h.kinds())
		if s := h.summary(id); s.State != StateRunning || s.Half != step.Apply {
			t.Errorf("%+v", s)
		}
	}
	if result := h.finish(id); !result.Complete() {
		t.Errorf("%+v", result)
	}
	if problem.KindOf(second) != problem.Locked {
		t.Error(second)
	}
}

func TestAnEndedTransactionIsNotRunAgain(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	first := h.finish(id)
	h.state["unit"] = "changed by hand"
	if again := h.finish(id); again.Changed != first.Changed || h.state["unit"] != "changed by hand" {
		t.Errorf("%+v, %v", again, h.state)
	}
}

func TestADamagedJournalIsNotGoneOnWith(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	h.during["container"] = func() { h.crashAt = h.moment + 1 }
	h.execute(id)
	path := h.store().journalFile(id)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(content), "pat@laptop", "eve@laptop", 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = h.store().Execute(t.Context(), id, h.machine(), h.kinds())
	if problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), "journal.jsonl:2") {
		t.Error(err)
	}
	all, err := h.store().List(0)
	if err != nil || all[0].State != StateDamaged {
		t.Error(all, err)
	}
	h.during = nil
	if result := h.finish(h.create(request, secrets)); !result.Complete() { // a new one looks for itself
		t.Errorf("%+v", result)
	}
	h.same(installed())
}

func TestWhatWasFetchedAndIsGoneIsWaitedForAfterARestart(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	h.during["container"] = func() { h.crashAt = h.moment + 1 }
	h.execute(id)
	h.during = nil
	h.reboot()
	h.state["packages"] = "removed"
	h.broken["packages"] = errors.New("no route to host")
	result := h.finish(id)
	if result.Outcome != Waiting || result.Step != "packages" || h.summary(id).State != StateWaiting {
		t.Fatalf("%+v", result)
	}
	h.broken = nil
	if err := h.store().Restart(id, secrets); err != nil {
		t.Fatal(err)
	}
	if result := h.finish(id); !result.Complete() {
		t.Errorf("%+v", result)
	}
	h.same(installed())
}

func TestHostFileIsWhatFactsRead(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	h.finish(h.create(request, secrets))
	var got facts.Installed
	if err := readJSON(filepath.Join(h.root, "/var/lib/valtctl/host.json"), &got); err != nil {
		t.Fatal(err)
	}
	if got.Site != "st-marys" || got.Host != "app1" || got.PlanDigest != "abc" || !slices.Equal(got.Roles, []string{"app"}) {
		t.Errorf("%+v", got)
	}
}

// fullDisk is a journal on a disk that takes room more records.
type fullDisk struct {
	recorder
	room int
}

func (f *fullDisk) AppendStep(kind journal.Kind, id string, of step.KindName, data any) (journal.Record, error) {
	if f.room--; f.room < 0 {
		return journal.Record{}, syscall.ENOSPC
	}
	return f.recorder.AppendStep(kind, id, of, data)
}

// executeOn runs a transaction whose journal has room for some records.
func (h *fakeHost) executeOn(id string, room int) error {
	h.t.Helper()
	s := h.store()
	request, err := s.request(id)
	if err != nil {
		h.t.Fatal(err)
	}
	w, records, _, err := journal.Open(s.journalFile(id), h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	defer w.Close()
	m := h.machine()
	m.Secret = func(name string) ([]byte, error) { return s.secret(id, name) }
	e := &engine{store: s, id: id, request: request, machine: m, kinds: h.kinds(), left: map[string]string{},
		journal: &fullDisk{w, room}, past: readPast(records), stop: h.t.Context()}
	if err := e.begin(); err != nil {
		return err
	}
	return e.run(h.t.Context())
}

func TestOnAFullDiskNothingIsDoneThatCannotBeWrittenDown(t *testing.T) {
	for room := range 11 { // of an install's eleven records
		h := newHost(t)
		request, secrets := install(t)
		id := h.create(request, secrets)
		if err := h.executeOn(id, room); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("with room for %d: %v", room, err)
		}
		for key := range h.applies {
			if readPast(h.recordsIfAny(id)).outcome[key] == "" {
				t.Errorf("with room for %d: %s was applied without a word", room, key)
			}
		}
		if result := h.finish(id); !result.Complete() { // there is room again
			t.Errorf("with room for %d: %+v", room, result)
		}
		h.same(installed())
	}
}
