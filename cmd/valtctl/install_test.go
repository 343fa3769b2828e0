package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

// printedBy is what print writes.
func printedBy(t *testing.T, print func(io.Writer) error) string {
	t.Helper()
	var out bytes.Buffer
	if err := print(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func sampleResult(dry bool) *installer.Result {
	return &installer.Result{Run: "r1", Site: "st-marys", Release: "6.4.2", Digest: "abcdef", DryRun: dry, Hosts: []installer.HostResult{
		{Host: "app1", Outcome: installer.Planned, Steps: 17,
			Changes: []installer.StepChange{{ID: "file/etc/x", Title: "file /etc/x", Diff: "- a\n+ b\n", Disrupts: step.Nothing}}},
		{Host: "media1", Outcome: installer.Unchanged, Steps: 9, Notes: []string{"the clock is not synchronised"},
			Deferred: []installer.StepChange{{ID: "container/engine", Title: "container valt-engine", Diff: "- 1\n+ 2\n", Disrupts: step.Container}}},
	}}
}

func TestADryRunIsShownAsDiffsAndALineAHost(t *testing.T) {
	want := `=== app1: file /etc/x
- a
+ b

=== media1: container valt-engine
    (interrupts the container)
- 1
+ 2

site st-marys, release 6.4.2, plan abcdef
app1       would change 1 of 17 steps
media1     would change 0 of 9 steps
           note: the clock is not synchronised
           left for "valtctl update", since it would interrupt the container: container valt-engine
`
	got := printedBy(t, func(w io.Writer) error { return writeResult(w, sampleResult(true)) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEachOutcomeHasItsWords(t *testing.T) {
	change := []installer.StepChange{{Title: "x"}}
	for want, h := range map[string]installer.HostResult{
		"unchanged, 9 steps as wanted":             {Outcome: installer.Unchanged, Steps: 9},
		"would change 1 of 9 steps":                {Outcome: installer.Planned, Steps: 9, Changes: change},
		"changed 1 of 9 steps, transaction t1":     {Outcome: installer.Changed, Steps: 9, Changes: change, Transaction: "t1"},
		"failed, transaction t1: the disk is full": {Outcome: installer.Failed, Steps: 9, Transaction: "t1", Reason: "the disk is full"},
		"running, transaction t1":                  {Outcome: installer.Running, Transaction: "t1"},
	} {
		if got := summary(h, false); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAnUnchangedSiteSaysSo(t *testing.T) {
	r := &installer.Result{Site: "s", Release: "6.4.2", Digest: "d", Hosts: []installer.HostResult{{Host: "app1", Outcome: installer.Unchanged, Steps: 2}}}
	want := "site s, release 6.4.2, plan d\napp1       unchanged, 2 steps as wanted\nnothing to change\n"
	if got := printedBy(t, func(w io.Writer) error { return writeResult(w, r) }); got != want {
		t.Errorf("got %q", got)
	}
}

func TestTheResultAsJSONHasNothingOfThePlan(t *testing.T) {
	raw, err := json.Marshal(sampleResult(true))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"run", "site", "release", "plan_digest", "dry_run", "hosts"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no %q", key)
		}
		delete(got, key)
	}
	if len(got) != 0 {
		t.Errorf("more than was promised: %v", got)
	}
}

func TestWithoutATerminalNothingIsChangedUnlessYesWasSaid(t *testing.T) {
	a := &app{in: &bytes.Buffer{}, err: io.Discard}
	err := a.confirmChanges(t.Context(), sampleResult(false))
	if problem.KindOf(err).ExitCode() != 2 || problem.All(err)[0].Fix != "look with --dry-run, then give --yes" {
		t.Errorf("got %v", err)
	}
	a.flags.yes = true
	if err := a.confirmChanges(context.Background(), sampleResult(false)); err != nil {
		t.Errorf("with --yes: %v", err)
	}
}

func TestHistoryIsATable(t *testing.T) {
	start := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	got := printedBy(t, func(w io.Writer) error {
		return writeHistory(w, []txn.Summary{
			{ID: "t2", Host: "app1", Release: "6.4.2", State: txn.StateRunning, Who: "pat@laptop", PlanDigest: "0123456789abcdef", Started: start.Add(time.Hour)},
			{ID: "t1", Host: "media1", Release: "6.4.2", State: txn.StateDone, Who: "pat@laptop", PlanDigest: "0123456789abcdef",
				Started: start, Ended: start.Add(61 * time.Second), Result: &txn.Result{Changed: 12}},
			{ID: "t0", Host: "media1", Release: "6.4.2", State: txn.StateRolledBack, Who: "pat@laptop", PlanDigest: "0123456789abcdef", Stage: true,
				Started: start, Ended: start.Add(61 * time.Second), Error: "nobody confirmed it", Result: &txn.Result{Changed: 12, Undone: []string{"a", "b"}}},
		})
	})
	want := `STARTED              HOST    RELEASE  STATE        CHANGED     TOOK  WHO         PLAN          TRANSACTION  WHY
2026-11-22 03:00:00  app1    6.4.2    running      -           -     pat@laptop  0123456789ab  t2           changing to 6.4.2
2026-11-22 02:00:00  media1  6.4.2    done         12          1m1s  pat@laptop  0123456789ab  t1           -
2026-11-22 02:00:00  media1  (6.4.2)  rolled-back  12, 2 back  1m1s  pat@laptop  0123456789ab  t0           went back from 6.4.2: nobody confirmed it
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
