package updater_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
	"ipivs.com/valtctl/updater"
)

// forgotten begins a drain of media1 while it records, and has the person's machine die; with cut the
// program on the host as well.
func (w *world) forgotten(cut bool) *server {
	s := w.hosts["media1"]
	s.record(20 * time.Minute)
	c, ctx := w.by("pat@laptop")
	o := c.options()
	o.DrainWithin = time.Hour
	w.beside.Go(func() { _ = updater.Drain(ctx, o, "media1") })
	w.wait(15 * time.Second)
	c.kill()
	if cut {
		w.must(s.befall(incident{What: unitKilled}))
		w.wait(15 * time.Second)
	}
	w.wait(5 * time.Minute) // the lease ends
	if !s.gateClosed() {
		w.fail("the drain has not closed the gate")
	}
	return s
}

func (w *world) wait(d time.Duration) { w.must(sleep.For(w.Context(), d)) }

// statusTells is whether status names a cause and a command for a host.
func (w *world) statusTells(host, what, fix string) bool {
	c, ctx := w.by("anybody")
	defer c.kill()
	st, err := updater.Status(ctx, c.options(), false)
	w.must(err)
	for _, p := range problem.All(errors.Join(asErrors(st.Needs())...)) {
		if p.Object == host && strings.Contains(p.Error(), what) && strings.Contains(p.Fix, fix) {
			return true
		}
	}
	w.tell("status: %v", errors.Join(asErrors(st.Needs())...))
	return false
}

// next is what somebody does to a host that another person's drain has left in its middle.
type next struct {
	name string
	do   func(context.Context, updater.Options) error
	// closed is the gate at the end, where nothing is recorded any more; where something still is, the
	// gate is open, and refused says what that comes to.
	closed  bool
	refused string
}

func nexts() []next {
	return []next{
		{"undrain", func(ctx context.Context, o updater.Options) error { return updater.Undrain(ctx, o, "media1") }, false, ""},
		{"drain", func(ctx context.Context, o updater.Options) error { return updater.Drain(ctx, o, "media1") }, true, "recordings go on"},
		{"update", func(ctx context.Context, o updater.Options) error {
			_, err := updater.Update(ctx, o)
			return err
		}, false, "recordings go on"},
		{"abort", func(ctx context.Context, o updater.Options) error {
			_, err := updater.Abort(ctx, o, nil)
			return err
		}, false, ""},
	}
}

// A drain by hand whose controller was killed in its middle, and with it the program on the host or not: who
// looks is told that the gate is closed and what opens it, and the next who drains, opens or updates the
// host takes it over.
func TestADrainThatNobodyFollowsIsToldAndTakenOver(t *testing.T) {
	forgetTimers()
	v := newVendor(t)
	v.install(t)
	synctest.Test(t, func(t *testing.T) {
		for _, n := range nexts() {
			for _, cut := range []bool{false, true} {
				w := newWorld(t, v, &story{title: n.name})
				n.takesOver(w, cut)
				w.end()
				if len(w.wrong) > 0 {
					t.Errorf("%s, the program on the host was killed: %v: %s\n%s", n.name, cut, strings.Join(w.wrong, "\n"), strings.Join(w.trace, "\n"))
				}
			}
		}
	})
	forgetTimers()
}

func (n next) takesOver(w *world, cut bool) {
	s := w.forgotten(cut)
	if !w.statusTells("media1", "its gate is closed", "valtctl undrain media1") {
		w.fail("nobody is told what opens the gate")
	}
	refused := n.refused
	if cut {
		w.wait(20 * time.Minute) // the recording ends
		refused = ""
	}
	c, ctx := w.by("kim@desk")
	defer c.kill()
	if err := n.do(ctx, c.options()); (err != nil) != (refused != "") || err != nil && !strings.Contains(err.Error(), refused) {
		w.fail("%s: %v", n.name, err)
	}
	closed := n.closed && cut
	if s.gateClosed() != closed {
		w.fail("the gate is closed: %v", s.gateClosed())
	}
	for _, past := range s.transactions() {
		if !past.State.Finished() {
			w.fail("transaction %s is %s", past.ID, past.State)
		}
	}
	if now := txn.Current(s.transactions()); refused == "" && now.State != txn.StateDone {
		w.fail("media1 is at %+v", now)
	}
	if closed && !w.statusTells("media1", "its gate is closed", "valtctl undrain media1") {
		w.fail("nobody is told that the gate is closed")
	}
}
