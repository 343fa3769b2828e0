package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/repos/problem"
)

// ticking is a clock that moves a second with each look.
func ticking() func() time.Time {
	at := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	return func() time.Time {
		at = at.Add(time.Second)
		return at
	}
}

func open(t *testing.T, path string) (*Writer, []Record, *Torn) {
	t.Helper()
	w, records, torn, err := Open(path, ticking())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w, records, torn
}

// written makes a journal of begin, apply, applied and end.
func written(t *testing.T) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal.jsonl")
	w, _, _ := open(t, path)
	for _, r := range []struct {
		kind Kind
		step string
	}{{Begin, ""}, {Apply, "file/hosts"}, {Applied, "file/hosts"}, {End, ""}} {
		if _, err := w.Append(r.kind, r.step, map[string]string{"why": "test"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

func TestWhatIsAppendedIsReadBack(t *testing.T) {
	path, content := written(t)
	records, torn, err := ReadFile(path)
	if err != nil || torn != nil {
		t.Fatal(torn, err)
	}
	if len(records) != 4 || records[1].Step != "file/hosts" || records[3].Kind != End || records[0].Prev != "" {
		t.Errorf("%+v", records)
	}
	var fields map[string]any
	if err := json.Unmarshal(bytes.SplitN(content, []byte{'\n'}, 2)[0], &fields); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"seq", "time", "prev", "kind", "step", "data"} {
		if _, ok := fields[f]; !ok {
			t.Errorf("the line has no %s", f)
		}
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("the journal's mode is %v", info.Mode())
	}
}

func TestOpeningAgainGoesOnWithTheChain(t *testing.T) {
	path, _ := written(t)
	w, records, _ := open(t, path)
	if len(records) != 4 {
		t.Fatalf("%d records", len(records))
	}
	r, err := w.Append(Resumed, "", nil)
	if err != nil || r.Seq != 5 {
		t.Fatal(r, err)
	}
	if records, _, err = ReadFile(path); err != nil || len(records) != 5 {
		t.Error(len(records), err)
	}
}

func TestATornLastLineIsDroppedAndTold(t *testing.T) {
	path, content := written(t)
	last := bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
	for cut := last + 1; cut < len(content); cut++ {
		if err := os.WriteFile(path, content[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		w, records, torn, err := Open(path, ticking())
		if err != nil {
			t.Fatal(err)
		}
		if len(records) != 3 || torn == nil || torn.Line != 4 || torn.Bytes != int64(cut-last) {
			t.Fatalf("cut at %d: %d records, %+v", cut, len(records), torn)
		}
		if _, err := w.Append(Dropped, "", torn); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if after, torn, err := ReadFile(path); err != nil || torn != nil || len(after) != 4 {
			t.Fatalf("cut at %d: afterwards %d records, %v, %v", cut, len(after), torn, err)
		}
	}
}

func TestALastLineOfZeroesIsTorn(t *testing.T) {
	path, content := written(t)
	for name, tail := range map[string]string{"without an end": strings.Repeat("\x00", 300), "with one": "\x00\x00\n"} {
		if err := os.WriteFile(path, append(bytes.Clone(content), tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		records, torn, err := ReadFile(path)
		if err != nil || len(records) != 4 || torn == nil || torn.Bytes != int64(len(tail)) {
			t.Errorf("%s: %d records, %+v, %v", name, len(records), torn, err)
		}
	}
}

func TestAChangedLineIsNamed(t *testing.T) {
	_, content := written(t)
	lines := bytes.SplitAfter(content, []byte{'\n'})
	for name, c := range map[string]struct {
		content []byte
		line    string
	}{
		"data changed":          {bytes.Replace(content, []byte("test"), []byte("tost"), 1), ":2"},
		"line removed":          {bytes.Join([][]byte{lines[0], lines[2], lines[3]}, nil), ":2"},
		"first removed":         {bytes.Join(lines[1:], nil), ":1"},
		"lines swapped":         {bytes.Join([][]byte{lines[0], lines[2], lines[1], lines[3]}, nil), ":2"},
		"rubbish inside":        {bytes.Join([][]byte{lines[0], []byte("rubbish\n"), lines[1]}, nil), ":2"},
		"field renamed":         {bytes.Replace(content, []byte(`"step":"file/hosts"`), []byte(`"stop":"x"`), 1), ":3"}, // where the chain breaks
		"field of another type": {bytes.Replace(content, []byte(`"seq":2,`), []byte(`"seq":"2",`), 1), ":2"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.jsonl")
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, _, err := Open(path, ticking())
			if problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), path+c.line) {
				t.Errorf("%v, want a problem of trust at line %s", err, c.line)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(after, c.content) {
				t.Error("the evidence was changed")
			}
		})
	}
}

// newer is a journal to which a newer version added a line that this one does not know, as that
// version's chain has it, and one more after it.
func newer(t *testing.T, line func(map[string]any)) (path string) {
	t.Helper()
	path, content := written(t)
	for range 2 {
		lines := bytes.Split(bytes.TrimSuffix(content, []byte("\n")), []byte("\n"))
		digest := sha256.Sum256(lines[len(lines)-1])
		record := map[string]any{"seq": len(lines) + 1, "time": "2026-11-22T02:01:00Z", "prev": hex.EncodeToString(digest[:]),
			"kind": "rehearsed", "step": "database", "data": map[string]any{}}
		line(record)
		text, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		content = append(append(content, text...), '\n')
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a newer version writes beside what this one knows is no damage and not torn, wherever in the
// journal it is: it is read as far as it is understood, kept, and gone on after.
func TestALineOfANewerVersionIsReadAsFarAsItIsUnderstood(t *testing.T) {
	path := newer(t, func(r map[string]any) { r["site_clock"] = map[string]any{"ahead": 3} })
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	records, torn, err := ReadFile(path)
	if err != nil || torn != nil || len(records) != 6 || records[5].Kind != "rehearsed" || records[5].Step != "database" {
		t.Fatalf("%d records, %+v, %v", len(records), torn, err)
	}
	tail := Tail{Path: path}
	if tailed, err := tail.Next(); err != nil || len(tailed) != 6 {
		t.Errorf("following it: %d records, %v", len(tailed), err)
	}
	w, _, torn := open(t, path)
	if _, err := w.Append(Resumed, "", nil); err != nil || torn != nil {
		t.Fatal(torn, err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(after, before) {
		t.Errorf("what the newer version wrote did not stay: %v", err)
	}
	if records, _, err := ReadFile(path); err != nil || len(records) != 7 {
		t.Errorf("after going on: %d records, %v", len(records), err)
	}
}

// What it writes in a way that cannot be read here is said to be a newer version's: nobody is told
// that evidence was changed, and nothing of it is dropped.
func TestALineThatANewerVersionWritesInAnotherWayIsSaidToBeOne(t *testing.T) {
	path := newer(t, func(r map[string]any) { r["step"] = []string{"database", "engine"} })
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, torn, err := ReadFile(path)
	_, _, _, opening := Open(path, ticking())
	tail := Tail{Path: path}
	tailed, following := tail.Next()
	for what, err := range map[string]error{"reading": err, "opening": opening, "following": following} {
		if problem.KindOf(err) == problem.Trust || err == nil || !strings.Contains(err.Error(), path+":5") || !strings.Contains(err.Error(), "a newer valtctl wrote") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if torn != nil || len(tailed) != 4 {
		t.Errorf("torn %+v, %d records followed", torn, len(tailed))
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("it was changed: %v", err)
	}
}

func TestOnlyOneWriterAtATime(t *testing.T) {
	path, _ := written(t)
	w, _, _ := open(t, path)
	if busy, err := Busy(path); err != nil || !busy {
		t.Error("a journal that is being written is not busy", err)
	}
	if _, _, _, err := Open(path, ticking()); problem.KindOf(err) != problem.Locked {
		t.Errorf("a second writer: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if busy, err := Busy(path); err != nil || busy {
		t.Error("a journal nobody writes is busy", err)
	}
	open(t, path)
}

// disk is a file whose next write or sync fails; a failing write leaves half of it.
type disk struct {
	*os.File
	writeErr, syncErr, truncateErr error
}

func (d *disk) WriteAt(p []byte, at int64) (int, error) {
	if d.writeErr != nil {
		n, _ := d.File.WriteAt(p[:len(p)/2], at)
		return n, d.writeErr
	}
	return d.File.WriteAt(p, at)
}

func (d *disk) Sync() error { return errors.Join(d.syncErr, d.File.Sync()) }

func (d *disk) Truncate(n int64) error {
	if d.truncateErr != nil {
		return d.truncateErr
	}
	return d.File.Truncate(n)
}

func onDisk(t *testing.T) (*Writer, *disk) {
	t.Helper()
	path, _ := written(t)
	w, _, _ := open(t, path)
	d := &disk{File: w.store.(*os.File)}
	w.store = d
	return w, d
}

func TestAFullDiskLeavesTheJournalWhole(t *testing.T) {
	w, d := onDisk(t)
	d.writeErr = syscall.ENOSPC
	if _, err := w.Append(Apply, "x", nil); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if records, torn, err := ReadFile(w.path); err != nil || torn != nil || len(records) != 4 {
		t.Fatal(len(records), torn, err)
	}
	d.writeErr = nil
	if r, err := w.Append(Apply, "x", nil); err != nil || r.Seq != 5 {
		t.Error(r, err)
	}
}

func TestAfterAFailedSyncNothingMoreIsAppended(t *testing.T) {
	w, d := onDisk(t)
	d.syncErr = syscall.EIO
	if _, err := w.Append(Apply, "x", nil); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	d.syncErr = nil
	if _, err := w.Append(Apply, "x", nil); !errors.Is(err, syscall.EIO) {
		t.Errorf("a later append: %v", err)
	}
}

func TestAfterAHalfLineThatStaysNothingMoreIsAppended(t *testing.T) {
	w, d := onDisk(t)
	d.writeErr, d.truncateErr = syscall.ENOSPC, syscall.EIO
	if _, err := w.Append(Apply, "x", nil); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	d.writeErr, d.truncateErr = nil, nil
	if _, err := w.Append(Apply, "x", nil); err == nil {
		t.Error("a later append succeeded behind half a line")
	}
}

func TestAnOverlongRecordIsRefused(t *testing.T) {
	path, _ := written(t)
	w, _, _ := open(t, path)
	if _, err := w.Append(Apply, "x", strings.Repeat("x", MaxLine)); err == nil {
		t.Error("it was taken")
	}
	long := append([]byte(`{"seq":1,"data":"`), bytes.Repeat([]byte{'x'}, 2*MaxLine)...)
	if _, _, err := Read(bytes.NewReader(long), "long"); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("reading one: %v", err)
	}
}

func TestTailYieldsEachRecordOnceItIsWhole(t *testing.T) {
	path, content := written(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	tail := Tail{Path: path}
	if got, err := tail.Next(); err != nil || len(got) != 0 {
		t.Fatal("before there is a file:", got, err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []Record
	for i := range content {
		if _, err := f.Write(content[i : i+1]); err != nil {
			t.Fatal(err)
		}
		got, err := tail.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 0 && content[i] != '\n' {
			t.Fatalf("a record in the middle of a line, at byte %d", i)
		}
		all = append(all, got...)
	}
	want, _, _ := ReadFile(path)
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
}

func TestTailGoesOnAfterATornLineWasReplaced(t *testing.T) {
	path, content := written(t)
	if err := os.WriteFile(path, append(bytes.Clone(content), "\x00\x00\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	tail := Tail{Path: path}
	if got, err := tail.Next(); err != nil || len(got) != 4 {
		t.Fatal(len(got), err)
	}
	w, _, torn := open(t, path)
	if _, err := w.Append(Dropped, "", torn); err != nil {
		t.Fatal(err)
	}
	if got, err := tail.Next(); err != nil || len(got) != 1 || got[0].Kind != Dropped {
		t.Error(got, err)
	}
}

func TestTailRefusesAChangedLine(t *testing.T) {
	path, content := written(t)
	if err := os.WriteFile(path, bytes.Replace(content, []byte("test"), []byte("tost"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	tail := Tail{Path: path}
	if _, err := tail.Next(); problem.KindOf(err) != problem.Trust {
		t.Error(err)
	}
}

func TestSummaryHasEachStepsTimeAndOutcome(t *testing.T) {
	at := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	record := func(after time.Duration, k Kind, step string) Record {
		return Record{Time: at.Add(after), Kind: k, Step: step}
	}
	got := Summarize([]Record{
		record(0, Begin, ""),
		record(1*time.Second, Unchanged, "clock"),
		record(2*time.Second, Apply, "apt"),
		record(3*time.Second, Resumed, ""),
		record(4*time.Second, Apply, "apt"),
		record(9*time.Second, Applied, "apt"),
		record(10*time.Second, Apply, "unit"),
		record(8*time.Second, Failed, "unit"), // the clock was set back
		record(12*time.Second, End, ""),
	})
	want := Summary{Started: at, Ended: at.Add(12 * time.Second), Last: End, Resumed: 1, Steps: []StepSummary{
		{Step: "clock", Outcome: Unchanged},
		{Step: "apt", Outcome: Applied, Duration: 5 * time.Second, Applies: 2},
		{Step: "unit", Outcome: Failed, Applies: 1},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"seq":1,"time":"2026-11-22T02:00:01Z","prev":"","kind":"begin","step":"","data":null}` + "\n"))
	f.Add([]byte("{\"seq\":1}\n{\"seq\":2}\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, _, err := Read(bytes.NewReader(data), "fuzz")
		for i, r := range records {
			if r.Seq != int64(i)+1 {
				t.Fatalf("record %d is numbered %d (%v)", i+1, r.Seq, err)
			}
		}
		path := filepath.Join(t.TempDir(), "journal.jsonl")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		tail := Tail{Path: path}
		tailed, _ := tail.Next()
		if diff := cmp.Diff(records, tailed); diff != "" && len(records)+len(tailed) > 0 {
			t.Errorf("Read and Tail differ: %s", diff)
		}
	})
}
