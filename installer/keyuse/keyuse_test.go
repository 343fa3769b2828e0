package keyuse

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/durable/durabletest"
)

// record is a record on a disk, and its clock.
type record struct {
	t *testing.T
	File
	at time.Time
}

func newRecord(t *testing.T) *record {
	t.Helper()
	r := &record{t: t, at: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
	r.File = File{Dir: filepath.Join(t.TempDir(), "restricted"), Now: func() time.Time { return r.at }, Who: "the schedule's key of app1"}
	return r
}

func (r *record) note(all ...Use) {
	r.t.Helper()
	for _, u := range all {
		if err := r.Note(u); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *record) read() []Use {
	r.t.Helper()
	got := Read(r.Dir, Kept)
	if got == nil || got.Trouble != "" {
		r.t.Fatalf("it reads %+v", got)
	}
	return got.Uses
}

func TestWhatWasDoneAndTriedIsReadNewestFirst(t *testing.T) {
	r := newRecord(t)
	if got := Read(r.Dir, Shown); got != nil {
		t.Errorf("of a key that was never used there is %+v", got)
	}
	r.note(Use{Call: Update, Request: "A", Release: "6.5.0"})
	r.note(Use{Call: Update, Request: "A", Release: "6.5.0", Transaction: "t1"})
	r.at = r.at.Add(time.Hour)
	r.note(Use{Call: Confirm, Transaction: "t1"}, Use{Call: Update, Release: "6.6.0", Refused: OutsideHours, Text: "no window"})
	got := r.read()
	if len(got) != 3 || got[0].Refused != OutsideHours || got[1].Call != Confirm || got[2].Transaction != "t1" || got[2].Count != 1 {
		t.Fatalf("%+v", got)
	}
	for _, u := range got {
		if u.Who != "the schedule's key of app1" || u.First.IsZero() {
			t.Errorf("%+v", u)
		}
	}
	if all := Read(r.Dir, 2).Uses; len(all) != 2 || all[0].Refused == "" {
		t.Errorf("the newest two are %+v", all)
	}
}

// Asking again and again pushes nothing out.
func TestAskingAgainPushesNothingOut(t *testing.T) {
	r := newRecord(t)
	var kept Record
	note := func(u Use) { kept.add(r.stamped(u)) }
	note(Use{Call: Update, Request: "A", Release: "6.5.0"})
	note(Use{Call: Confirm, Refused: Ill, Text: "media1 answers 502"})
	for n := range 3 * Kept {
		note(Use{Call: Update, Release: fmt.Sprint("6.6.", n), Refused: OutsideHours, Text: fmt.Sprint("no window for ", n)})
	}
	if got := kept.Uses; len(got) != 3 || got[0].Count != 3*Kept || got[1].Refused != Ill || got[2].Request != "A" {
		t.Errorf("%d uses: %+v", len(got), got)
	}
	r.at = r.at.Add(25 * time.Hour)
	note(Use{Call: Update, Refused: OutsideHours})
	if got := kept.Uses; len(got) != 4 || got[0].Count != 1 {
		t.Errorf("the next day it is %+v", got[0])
	}
}

func TestTheRecordHasABoundAndKeepsBoth(t *testing.T) {
	r := newRecord(t)
	var kept Record
	note := func(u Use) { kept.add(r.stamped(u)) }
	for n := range Kept {
		r.at = r.at.Add(25 * time.Hour)
		note(Use{Call: Update, Request: fmt.Sprint("R", n)})
		note(Use{Call: Update, Refused: OutsideHours})
	}
	for n := range Kept {
		note(Use{Call: Stage, Request: fmt.Sprint("S", n)})
	}
	refused := 0
	for _, u := range kept.Uses {
		if u.Refused != "" {
			refused++
		}
	}
	if len(kept.Uses) != Kept || refused != Kept/2 || kept.Uses[0].Request != fmt.Sprint("S", Kept-1) {
		t.Errorf("%d uses are kept, %d of them refused, first %+v", len(kept.Uses), refused, kept.Uses[0])
	}
}

func TestWhatAThiefWritesIsOneReadableLine(t *testing.T) {
	r := newRecord(t)
	r.note(Use{Call: Update, Release: "6.5.0\x1b[2J\n", Refused: Foreign, Text: "run \"\xff\x00\" " + strings.Repeat("é", 500)})
	u := r.read()[0]
	for _, text := range []string{u.Release, u.Text} {
		if strings.ContainsAny(text, "\n\x1b\x00") || len(text) > 310 {
			t.Errorf("it is kept as %q", text)
		}
	}
}

func TestADamagedRecordIsSaidAndPutAside(t *testing.T) {
	r := newRecord(t)
	r.note(Use{Call: Update, Request: "A"})
	if err := os.WriteFile(r.path(), []byte(`{"uses":[{`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Read(r.Dir, Shown); got == nil || !strings.Contains(got.Trouble, "uses.json") {
		t.Errorf("a record that cannot be read is told as %+v", got)
	}
	r.note(Use{Call: Confirm, Transaction: "t1"})
	if got := r.read(); len(got) != 2 || got[1].Refused != Unknown || !strings.Contains(got[1].Text, "uses.json.damaged") {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(r.path() + ".damaged"); err != nil {
		t.Error(err)
	}
}

func TestOfNotesAtOnceNoneIsLost(t *testing.T) {
	r := newRecord(t)
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() { errs[i] = r.Note(Use{Call: Update, Request: fmt.Sprint("R", i)}) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil || len(r.read()) != len(errs) {
		t.Errorf("%d are written down: %v", len(r.read()), err)
	}
}

func TestAlarmingIsWhatNoRunOfTheSchedulesAsksFor(t *testing.T) {
	r := newRecord(t)
	for _, reason := range []Reason{OutsideHours, Clock, NotOffered, Tried, Busy, Ill, Back, Foreign, Unknown, ""} {
		r.note(Use{Call: Update, Request: "A", Refused: reason})
	}
	var got []Reason
	for _, u := range Read(r.Dir, Shown).Alarming(r.at) {
		got = append(got, u.Refused)
	}
	if fmt.Sprint(got) != fmt.Sprint([]Reason{Foreign, NotOffered, OutsideHours}) {
		t.Errorf("alarming are %v", got)
	}
	if late := Read(r.Dir, Shown).Alarming(r.at.Add(time.Second)); len(late) > 0 || (*Record)(nil).Alarming(r.at) != nil {
		t.Errorf("later on alarming are %v", late)
	}
}

// What was tried is on the disk once that was noted.
func TestANoteSurvivesAPowerCut(t *testing.T) {
	for seed := range uint64(20) {
		r := newRecord(t)
		disk := durabletest.New(t, filepath.Dir(r.Dir))
		unmount := durable.Mount(filepath.Dir(r.Dir), disk)
		r.note(Use{Call: Update, Request: "A"})
		disk.PowerCut(seed)
		unmount()
		if got := r.read(); len(got) != 1 {
			t.Errorf("after a power cut it is %+v", got)
		}
	}
}
