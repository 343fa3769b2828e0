package txn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable/durabletest"
	"ipivs.com/valtctl/repos/testdraw"
)

// A story is an update with bad days: what goes wrong at which call to the disk, and what its
// controller says when. It is drawn by a seed, and one that ends badly is told by as few of its
// events as it takes.
type story struct {
	seed   uint64
	events []storyEvent
	says   []string // to each look of a switched host: "", "keep" or "undo"
}

// storyEvent is what happens at one call to the disk, counted over all executions.
type storyEvent struct {
	at   int
	what string // "killed", "power", "EIO", "ENOSPC", "full", "free", "stopped"
}

func (e storyEvent) String() string { return fmt.Sprintf("%s at call %d", e.what, e.at) }

func drawStory(seed uint64) story {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := story{seed: seed}
	kinds := []string{"killed", "power", "EIO", "ENOSPC", "full", "free", "stopped"}
	for range 1 + rng.IntN(5) {
		s.events = append(s.events, storyEvent{1 + rng.IntN(160), kinds[rng.IntN(len(kinds))]})
	}
	slices.SortFunc(s.events, func(a, b storyEvent) int { return a.at - b.at })
	for range rng.IntN(4) {
		s.says = append(s.says, []string{"", "", "keep", "undo"}[rng.IntN(4)])
	}
	return s
}

// told is a story as it is being lived.
type told struct {
	*fakeHost
	story
	disk  *durabletest.Disk
	kinds step.Registry
	open  *bool
	calls int
	calm  int    // executions that have ended
	stop  func() // of the execution under way

	asked, kept, undone bool // what the controller has said, and that the host took it
	wrong               []string
}

func (l *told) fail(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// live runs a story to its end and says what of its end is not as it must be.
func live(t *testing.T, s story) []string {
	h, r, secrets, kinds, open := gated(t, nil, nil)
	l := &told{fakeHost: h, story: s, disk: h.disk(), kinds: kinds, open: open}
	l.disk.Fail(l.happen)
	looks := 0
	h.waiting = func() {
		if looks < len(s.says) {
			l.say(s.says[looks])
		}
		looks++
	}
	id := ""
	for range 40 { // the timer's tries, and boots
		if id == "" {
			if id = l.begin(r, secrets); id == "" {
				l.disk.Full(-1)
				continue
			}
		}
		result, over := l.execute(id, secrets)
		if l.calm++; l.calm > 3 {
			l.disk.Full(-1) // somebody makes room, one day
		}
		if over {
			l.judge(id, r, result)
			return l.wrong
		}
	}
	l.fail("it never ends")
	return l.wrong
}

// begin is the controller that asks for the transaction, again if it must.
func (l *told) begin(r Request, secrets map[string][]byte) (id string) {
	r.Key = "one"
	l.survive(func() {
		made, err := l.store().Create(r, secrets, l.kinds)
		if err == nil {
			id = made
		}
	})
	return id
}

// survive does something that may be cut off, and brings the host up again where its power was.
func (l *told) survive(do func()) {
	if !begun(do) {
		return
	}
	l.disk.EndProgram()
	if l.events[0].what == "power" { // the event is still the first: happen leaves it so
		l.disk.PowerCut(l.seed + uint64(l.calls))
		l.reboot()
	}
	l.events = l.events[1:]
}

// happen is asked before every call to the disk.
func (l *told) happen(c durabletest.Call) error {
	l.calls++
	if len(l.events) == 0 || l.calls < l.events[0].at {
		return nil
	}
	e := l.events[0]
	switch e.what {
	case "killed", "power":
		panic(crash{})
	}
	l.events = l.events[1:]
	switch e.what {
	case "EIO":
		return syscall.EIO
	case "ENOSPC":
		return syscall.ENOSPC
	case "full":
		l.disk.Full(0)
	case "free":
		l.disk.Full(-1)
	case "stopped":
		if l.stop != nil {
			l.stop()
		}
	}
	return nil
}

// say answers a switched host.
func (l *told) say(what string) {
	ids, err := l.store().ids()
	if err != nil || len(ids) != 1 || what == "" {
		return
	}
	undo := ""
	if what == "undo" {
		undo = "it is ill"
	}
	if what == "keep" {
		l.asked = true
	}
	if l.store().Confirm(ids[0], undo) == nil && !l.kept && !l.undone {
		l.kept, l.undone = what == "keep", what == "undo"
	}
}

// execute goes on with the transaction once, as the unit, the timer or a boot would, and gives
// it its secrets again where it waits for them.
func (l *told) execute(id string, secrets map[string][]byte) (result Result, over bool) {
	l.survive(func() {
		ctx, cancel := context.WithCancel(l.t.Context())
		defer cancel()
		l.stop = cancel
		if s, err := l.store().Summary(id); err == nil && s.State == StateWaiting {
			_ = l.store().Restart(id, secrets) // the next try finds out
		}
		got, err := l.store().Execute(ctx, id, l.machine(), l.kinds)
		switch got.Outcome {
		case Done, RolledBack, Failed, Quarantined, NotDrained:
			result, over = got, err == nil
		}
	})
	return result, over
}

// judge wants the end to be one that was promised.
func (l *told) judge(id string, r Request, result Result) {
	isNew := result.Outcome == Done
	if l.kept && !isNew {
		l.fail("its controller was told that it is kept, and it is %s: %v", result.Outcome, result.Err())
	}
	if isNew && !l.asked {
		l.fail("nobody confirmed it, and it is done")
	}
	want := served()
	if isNew {
		want = installed()
	}
	if result.Outcome != Quarantined {
		for key, value := range want {
			if l.state[key] != value {
				l.fail("%s is %q after %s", key, l.state[key], result.Outcome)
			}
		}
		if !*l.open {
			l.fail("the gate is closed after %s", result.Outcome)
		}
	} else if result.Err() == nil {
		l.fail("it is quarantined without a reason")
	}
	var now facts.Installed
	if err := readJSON(l.store().hostFile, &now); isNew != (err == nil && now.Release == r.Release) {
		l.fail("it is %s, and says of itself %+v (%v)", result.Outcome, now, err)
	}
	l.disk.Fail(nil)
	all, err := l.store().Audit(0)
	if err != nil || len(all) != 1 || all[0].ID != id || all[0].Result == nil || all[0].Result.Outcome != result.Outcome {
		l.fail("its records say %+v, %v", all, err)
	}
	l.store().clear(all) // as the next transaction does when it begins
	if _, err := os.Stat(l.store().keptDir(id)); !errors.Is(err, os.ErrNotExist) && result.Outcome != Quarantined {
		l.fail("what was kept for the way back is still there: %v", err)
	}
}

// shrink leaves out of a bad story what it does not take.
func shrink(t *testing.T, s story) story {
	for again := true; again; {
		again = false
		for i := range s.events {
			less := s
			less.events = slices.Delete(slices.Clone(s.events), i, i+1)
			if len(live(t, less)) > 0 {
				s, again = less, true
				break
			}
		}
	}
	return s
}

// However an update is cut off, stopped, starved of room or misread by its disk, however often: the
// host ends old or new, as it was told, and says so itself.
func TestStoriesOfUpdates(t *testing.T) {
	runs := testdraw.Times(t, 200, 10000)
	first := testdraw.Draw(t)
	testdraw.Tried(t, runs, "stories")
	for seed := first; seed < first+uint64(runs); seed++ {
		s := drawStory(seed)
		if wrong := live(t, s); len(wrong) > 0 {
			short := shrink(t, s)
			text, err := json.Marshal(short.says)
			if err != nil {
				t.Fatal(err)
			}
			t.Errorf("seed %d: %s\n  with %v, and its controller saying %s: %s", seed, strings.Join(wrong, "; "), short.events, text, strings.Join(live(t, short), "; "))
			return
		}
	}
}
