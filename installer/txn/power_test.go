package txn

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/repos/durable/durabletest"
	"ipivs.com/valtctl/repos/testdraw"
)

// powerSeeds is how many times the power is cut at one call, each time with something else of
// what nobody synced on the disk.
const powerSeeds = 4

// disk puts a disk under what the host keeps, but for what is in memory.
func (h *fakeHost) disk() *durabletest.Disk {
	h.t.Helper()
	dir := filepath.Join(h.root, "var")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	return durabletest.New(h.t, dir)
}

// begun runs something until it ends or the power is cut.
func begun(do func()) (cut bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ours := r.(crash); !ours {
				panic(r)
			}
			cut = true
		}
	}()
	do()
	return false
}

// The power is cut at every call that changes the disk or makes it durable, in an update whose
// controller confirms it once and then is gone. Whatever was lost of what nobody synced: the
// host ends old or new, says itself which, and never goes back once its controller was told
// that it was confirmed.
func TestAPowerCutAtAnyWriteLeavesAHostOldOrNew(t *testing.T) {
	for at := range testdraw.Points(t) {
		reached := false
		for seed := range uint64(powerSeeds) {
			if cutPower(t, at+1, seed) {
				reached = true
			}
		}
		if !reached {
			testdraw.Tried(t, at*powerSeeds, "power cuts")
			return
		}
	}
}

func cutPower(t *testing.T, at int, seed uint64) (cut bool) {
	h, r, secrets := update(t)
	disk := h.disk()
	where := fmt.Sprintf("call %d, seed %d", at, seed)
	disk.Fail(func(c durabletest.Call) error {
		if c.N == at {
			where += " (" + c.Name + " " + c.Path + ")"
			panic(crash{})
		}
		return nil
	})
	told, asked := false, false
	h.waiting = func() {
		ids, err := h.store().ids()
		if err != nil || len(ids) != 1 {
			t.Fatalf("%s: %v, %v", where, ids, err)
		}
		asked = true
		if err := h.store().Confirm(ids[0], ""); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		told = true
	}
	cut = begun(func() {
		id := h.create(r, secrets)
		if _, err := h.store().Execute(t.Context(), id, h.machine(), h.kinds()); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
	})
	if !cut {
		return false
	}
	disk.Fail(nil)
	disk.PowerCut(seed)
	h.reboot()
	h.waiting = nil // nobody is there any more
	h.afterPowerCut(where, r, secrets, told, asked)
	return true
}

// afterPowerCut brings what is left to its end, and wants it to be old or new.
func (h *fakeHost) afterPowerCut(where string, r Request, secrets map[string][]byte, told, asked bool) {
	h.t.Helper()
	t := h.t
	all, err := h.store().List(0)
	if err != nil || len(all) > 1 {
		t.Fatalf("%s: %+v, %v", where, all, err)
	}
	if len(all) == 0 { // it was never there
		if told || len(h.applies) > 0 {
			t.Fatalf("%s: the host was changed, and does not know by what: %v", where, h.state)
		}
		return
	}
	id := all[0].ID
	if all[0].State == StateDamaged || all[0].State == StateUnreadable {
		t.Fatalf("%s: its records are %s: %s", where, all[0].State, all[0].Error)
	}
	if all[0].State == StateWaiting {
		if err := h.store().Restart(id, secrets); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
	}
	result, err := h.store().Execute(t.Context(), id, h.machine(), h.kinds())
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	isNew := result.Outcome == Done
	if told && !isNew || !asked && isNew {
		t.Errorf("%s: confirmed is %v, and it is %s: %v", where, told, result.Outcome, result.Err())
	}
	want := served()
	if isNew {
		want = installed()
	}
	for key, value := range want {
		if h.state[key] != value {
			t.Errorf("%s: %s is %q after %s", where, key, h.state[key], result.Outcome)
		}
	}
	var now facts.Installed
	err = readJSON(h.store().hostFile, &now)
	if isNew != (err == nil && now.Release == r.Release) {
		t.Errorf("%s: it is %s, and says of itself %+v (%v)", where, result.Outcome, now, err)
	}
}

// Whatever call fails once, the program goes on or ends, and the next execution finds its way.
func TestACallThatFailsOnceLeavesAHostOldOrNew(t *testing.T) {
	tried := 0
	for _, why := range []error{syscall.ENOSPC, syscall.EIO} {
		for at := range testdraw.Points(t) {
			if !failOnce(t, at+1, why) {
				break
			}
			tried++
		}
	}
	testdraw.Tried(t, tried, "failing calls")
}

func failOnce(t *testing.T, at int, why error) (reached bool) {
	h, r, secrets := update(t)
	disk := h.disk()
	where := fmt.Sprintf("%v at call %d", why, at)
	disk.Fail(func(c durabletest.Call) error {
		if c.N == at {
			reached = true
			where += " (" + c.Name + " " + c.Path + ")"
			return why
		}
		return nil
	})
	id, err := h.store().Create(r, secrets, h.kinds())
	if err != nil {
		if !errors.Is(err, why) || len(h.applies) > 0 {
			t.Errorf("%s: %v", where, err)
		}
		return reached
	}
	told := false
	h.waiting = func() {
		if err := h.store().Confirm(id, ""); err == nil {
			told = true
		}
	}
	result, err := h.store().Execute(t.Context(), id, h.machine(), h.kinds())
	for try := 0; (err != nil || result.Outcome == "" || result.Outcome == Waiting) && try < 3; try++ { // the timer's, or a person's
		if result.Outcome == Waiting {
			if err := h.store().Restart(id, secrets); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
		}
		result, err = h.store().Execute(t.Context(), id, h.machine(), h.kinds())
	}
	if err != nil {
		t.Fatalf("%s: it never ends: %v", where, err)
	}
	want := served()
	if result.Outcome == Done {
		want = installed()
	} else if told {
		t.Errorf("%s: it was confirmed, and is %s", where, result.Outcome)
	}
	if result.Outcome != Failed || len(h.applies) > 0 {
		for key, value := range want {
			if h.state[key] != value {
				t.Errorf("%s: %s is %q after %s", where, key, h.state[key], result.Outcome)
			}
		}
	}
	return reached
}

// A disk that runs full while a host is changed, and stays so, keeps it from nothing: it goes
// back in time, and needs nobody for it.
func TestAFullDiskDoesNotKeepAHostFromGoingBack(t *testing.T) {
	for _, more := range []int64{0, 1, 300, 4 << 10, 64 << 10} { // bytes of room that are left
		h, r, secrets := update(t)
		disk := h.disk()
		id := h.create(r, secrets)
		h.during["container"] = func() { disk.Full(more) }
		var result Result
		var err error
		for try := range 3 { // the timer's tries
			if result, err = h.store().Execute(t.Context(), id, h.machine(), h.kinds()); err == nil {
				break
			}
			if try == 0 {
				t.Errorf("with room for %d it is not over at once: %v", more, err)
			}
		}
		if left, err := filepath.Glob(h.store().roomFile(id) + "*"); err != nil || len(left) > 0 {
			t.Errorf("with room for %d, %v stay (%v)", more, left, err)
		}
		if got := h.state["container"]; got != served()["container"] {
			t.Errorf("with room for %d: the container is %q, %s, %v", more, got, result.Outcome, err)
		}
		disk.Full(-1)
		if result, err = h.store().Execute(t.Context(), id, h.machine(), h.kinds()); err != nil || result.Outcome != RolledBack {
			t.Errorf("with room again after %d: %s, %v", more, result.Outcome, err)
		}
		isOld(t, h, id)
	}
}

// What the steps' ways back write is set aside while the host is changed, and theirs once they are taken.
func TestRoomForTheStepsWaysBackIsSetAside(t *testing.T) {
	h, r, secrets := update(t)
	id := h.create(r, secrets)
	const room = 2*roomPart + 5
	h.rooms = map[string]int64{"container": room}
	aside := func() (sum int64) {
		for part := 0; ; part++ {
			info, err := os.Stat(h.store().stepsRoomFile(id, part))
			if err != nil {
				return sum
			}
			sum += info.Size()
		}
	}
	var before, back int64 = -1, -1
	h.during["container"] = func() { before = aside() }
	h.undoing = func() { back = max(back, aside()) }
	h.broken["container"] = errors.New("no such image")
	result, err := h.store().Execute(t.Context(), id, h.machine(), h.kinds())
	if err != nil || result.Outcome != RolledBack || before != room || back != 0 {
		t.Errorf("%s, %v; %d bytes are set aside of %d, and %d are still while it goes back", result.Outcome, err, before, room, back)
	}
	isOld(t, h, id)
}

// A journal that takes nothing more, whatever was set aside, is no reason to stop on the way back: all
// of it is gone at once, and written down when that is possible again.
func TestAWayBackOfWhichNothingCanBeWrittenDownIsGoneAtOnce(t *testing.T) {
	h, r, secrets := update(t)
	disk := h.disk()
	id := h.create(r, secrets)
	h.waiting = func() { // nobody confirms it
		disk.Fail(func(c durabletest.Call) error {
			if filepath.Base(c.Path) == "journal.jsonl" {
				return syscall.EIO
			}
			return nil
		})
	}
	if result, err := h.store().Execute(t.Context(), id, h.machine(), h.kinds()); !errors.Is(err, syscall.EIO) {
		t.Errorf("what cannot be written down is over: %+v, %v", result, err)
	}
	h.same(served())
	disk.Fail(nil)
	if result, err := h.store().Execute(t.Context(), id, h.machine(), h.kinds()); err != nil || result.Outcome != RolledBack {
		t.Errorf("once it can be: %+v, %v", result, err)
	}
	isOld(t, h, id)
}

// What is over at a host whose disk is full stays what it is.
func TestTheDeadlineCountsOnAFullDisk(t *testing.T) {
	h, r, secrets := update(t)
	disk := h.disk()
	id := h.create(r, secrets)
	h.waiting = func() { disk.Full(0) }
	if result, err := h.store().Execute(t.Context(), id, h.machine(), h.kinds()); err == nil && result.Outcome != RolledBack {
		t.Errorf("%+v", result)
	}
	if got := h.state["container"]; got != served()["container"] {
		t.Errorf("the container is %q", got)
	}
}

// A journal that is damaged while its transaction runs does not make that one finished.
func TestADamagedJournalOfWhatRunsIsNotFinished(t *testing.T) {
	h, r, secrets := update(t)
	id := h.create(r, secrets)
	var during Summary
	var second error
	h.during["container"] = func() {
		file := h.store().journalFile(id)
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(strings.Replace(string(text), "pat@laptop", "pat@laptoq", 1)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		all, err := h.store().List(0)
		if err != nil {
			t.Fatal(err)
		}
		during = all[0]
		_, second = h.store().Create(r, secrets, h.kinds())
		if _, err := os.Stat(h.store().runDir(id)); err != nil {
			t.Error("what it runs with was taken away:", err)
		}
	}
	if _, err := h.store().Execute(t.Context(), id, h.machine(), h.kinds()); err != nil {
		t.Fatal(err)
	}
	if during.State != StateRunning || second == nil {
		t.Errorf("while it ran it was %s, and a second one: %v", during.State, second)
	}
	if now := h.audit(id); now.State != StateDamaged {
		t.Errorf("afterwards it is %s", now.State)
	}
}

// audit is a transaction as its journal tells it.
func (h *fakeHost) audit(id string) Summary {
	h.t.Helper()
	all, err := h.store().Audit(0)
	i := slices.IndexFunc(all, func(s Summary) bool { return s.ID == id })
	if err != nil || i < 0 {
		h.t.Fatal(all, err)
	}
	return all[i]
}

// A transaction of which nothing can be read now is not over.
func TestWhatCannotBeReadIsNotFinished(t *testing.T) {
	h, r, secrets := update(t)
	id := h.create(r, secrets)
	file := h.store().journalFile(id)
	if err := os.Mkdir(file, 0o700); err != nil { // any read fails
		t.Fatal(err)
	}
	all, err := h.store().List(0)
	if err != nil || len(all) != 1 || all[0].State != StateUnreadable || all[0].State.Finished() {
		t.Fatalf("%+v, %v", all, err)
	}
	if _, err := h.store().Create(r, secrets, h.kinds()); err == nil {
		t.Error("another one was begun beside it")
	}
}

// The same request is the same transaction, however often it is asked for and however it went.
func TestARequestIsBegunOnce(t *testing.T) {
	h, r, secrets := update(t)
	r.Key = "key-1"
	id := h.create(r, secrets)
	if again := h.create(r, secrets); again != id {
		t.Errorf("it was begun again: %s", again)
	}
	h.confirmWhenAsked(id)
	h.finish(id)
	if again := h.create(r, secrets); again != id {
		t.Errorf("it was begun again after its end: %s", again)
	}
	r.Key = "key-2"
	if other := h.create(r, secrets); other == id {
		t.Error("another request is the same transaction")
	}
}
