package txn

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
)

// fakeRunner records what would have been run.
type fakeRunner struct {
	argv [][]string
	err  error
}

func (f *fakeRunner) Run(_ context.Context, c step.Command) (step.Output, error) {
	f.argv = append(f.argv, c.Argv)
	if c.Argv[0] == "systemd-run" {
		return step.Output{}, f.err
	}
	return step.Output{}, nil
}

func (h *fakeHost) launcher() (Launcher, *fakeRunner) {
	run := &fakeRunner{}
	return Launcher{Store: h.store(), Agent: "/var/lib/valtctl/agent/abc/valtctl", Root: h.root, Run: run}, run
}

func (h *fakeHost) hasBootUnit() bool {
	_, unit := os.Stat(filepath.Join(h.root, bootUnit))
	_, link := os.Lstat(filepath.Join(h.root, bootWants))
	if (unit == nil) != (link == nil) {
		h.t.Error("the boot unit is half there:", unit, link)
	}
	return unit == nil
}

func TestStartRunsAUnitWithoutSecrets(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	l, run := h.launcher()
	if err := l.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	argv := run.argv[len(run.argv)-1]
	if argv[0] != "systemd-run" || !slices.Contains(argv, "valtctl-txn-"+id+".service") || !slices.Contains(argv, "KillMode=process") {
		t.Error(argv)
	}
	if got := argv[len(argv)-3:]; !slices.Equal(got, []string{l.Agent, "txn-run", id}) {
		t.Error(got)
	}
	if strings.Contains(strings.Join(argv, " "), "KEY-1234") {
		t.Error("a secret is in the unit's command")
	}
}

func TestTheBootUnitIsThereWhileATransactionIsUnfinished(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	l, run := h.launcher()
	if err := l.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if !h.hasBootUnit() {
		t.Fatal("it is not there before the first step")
	}
	unit, _ := os.ReadFile(filepath.Join(h.root, bootUnit))
	if !strings.Contains(string(unit), "ExecStart="+l.Agent+" txn-resume\n") {
		t.Errorf("%s", unit)
	}
	if _, err := l.Execute(t.Context(), id, h.machine(), h.kinds()); err != nil {
		t.Fatal(err)
	}
	if h.hasBootUnit() {
		t.Error("it is left behind")
	}
	if last := run.argv[len(run.argv)-1]; !slices.Equal(last, []string{"systemctl", "daemon-reload"}) {
		t.Error("systemd was not told:", last)
	}
}

func TestANewerAgentTakesTheBootUnitOver(t *testing.T) {
	h := newHost(t)
	l, run := h.launcher()
	if err := l.arm(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	n := len(run.argv)
	if err := l.arm(t.Context(), false); err != nil || len(run.argv) != n {
		t.Error("arming again did something:", run.argv[n:], err)
	}
	l.Agent = "/var/lib/valtctl/agent/def/valtctl"
	if err := l.arm(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	unit, _ := os.ReadFile(filepath.Join(h.root, bootUnit))
	if !strings.Contains(string(unit), "/def/") || strings.Contains(string(unit), "/abc/") {
		t.Errorf("%s", unit)
	}
}

func TestAnAgentPathThatAUnitCannotNameIsRefused(t *testing.T) {
	h := newHost(t)
	l, _ := h.launcher()
	for _, path := range []string{"valtctl", "/a b/valtctl", "/a%n/valtctl", "/a$b/valtctl"} {
		l.Agent = path
		if err := l.arm(t.Context(), false); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
}

func TestStartIsNoErrorWhileItRuns(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	l, run := h.launcher()
	run.err = errors.New("unit exists")
	h.during["container"] = func() {
		if err := l.Start(h.t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	h.finish(id)
	if err := l.Start(t.Context(), h.create(request, secrets)); err == nil {
		t.Error("a unit that could not be started was not told")
	}
}

func TestAfterARestartTheApplyHalfFinishesAlone(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	l, _ := h.launcher()
	if err := l.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	h.during["container"] = func() { h.crashAt = h.moment + 1 }
	h.execute(id)
	h.during = map[string]func(){}
	h.reboot()
	resumed, err := l.Resume(t.Context(), h.machine(), h.kinds())
	if err != nil || len(resumed) != 1 || !resumed[0].Result.Complete() {
		t.Fatal(resumed, err)
	}
	h.same(installed())
	if h.hasBootUnit() {
		t.Error("the boot unit is left behind")
	}
	kinds := readPast(h.records(id)).outcome
	if kinds["licence"] != journal.Kept || kinds["packages"] != journal.Unchanged {
		t.Error(kinds)
	}
}

func TestAfterARestartTheFetchHalfWaits(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	l, _ := h.launcher()
	if err := l.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	h.during["packages"] = func() { h.crashAt = h.moment + 1 }
	h.execute(id)
	h.during = map[string]func(){}
	h.reboot()
	before := len(h.state)
	for range 2 { // two restarts say it once
		if _, err := l.Resume(t.Context(), h.machine(), h.kinds()); err != nil {
			t.Fatal(err)
		}
	}
	waits := 0
	for _, r := range h.records(id) {
		if r.Kind == journal.Waiting {
			waits++
		}
	}
	if s := h.summary(id); s.State != StateWaiting || waits != 1 || len(h.state) != before {
		t.Errorf("%+v, said %d times, %v", s, waits, h.state)
	}
	if !h.hasBootUnit() {
		t.Error("the boot unit is gone while the transaction is unfinished")
	}
}

// records reads a transaction's journal.
func (h *fakeHost) records(id string) []journal.Record {
	h.t.Helper()
	records, _, err := h.store().Journal(id)
	if err != nil {
		h.t.Fatal(err)
	}
	return records
}

// recordsIfAny is records of a transaction that may not have begun.
func (h *fakeHost) recordsIfAny(id string) []journal.Record {
	h.t.Helper()
	records, _, err := journal.ReadFile(h.store().journalFile(id))
	if err != nil {
		h.t.Fatal(err)
	}
	return records
}
