package updater_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/updater"
)

// until waits until the newest transaction of a host is as wanted.
func (s *server) until(what string, is func(txn.Summary) bool) {
	for range 600 {
		if all := s.transactions(); len(all) > 0 && is(all[0]) {
			return
		}
		s.wait(200 * time.Millisecond)
	}
	s.fail("%s is never %s: %+v", s.name, what, s.transactions())
}

// Who resumes while a host goes back because nobody was there to confirm it follows that to its end, and
// has the host take its turn again: the release is not to blame, no more than where the host is back already.
func TestWhoResumesWhileAHostGoesBackGoesOn(t *testing.T) {
	forgetTimers()
	v := newVendor(t)
	v.install(t)
	synctest.Test(t, func(t *testing.T) {
		for _, back := range []bool{false, true} { // it is back already
			w := newWorld(t, v, &story{title: "resume", incidents: []incident{
				{Host: "media1", At: 1, Call: "is in the middle of container", What: killedController, On: "media1"}}})
			w.resumeOnTheWayBack(back)
			w.end()
			if len(w.wrong) > 0 {
				t.Errorf("it is back already: %v: %s\n%s", back, strings.Join(w.wrong, "\n"), strings.Join(w.trace, "\n"))
			}
		}
	})
	forgetTimers()
}

func (w *world) resumeOnTheWayBack(back bool) {
	s := w.hosts["media1"]
	c, ctx := w.by("pat@laptop")
	o := c.options()
	o.Lease = 5 * time.Second
	w.mu.Lock()
	w.at = c
	w.mu.Unlock()
	w.beside.Go(func() { _, _ = updater.Update(ctx, o) })
	s.until("on its way back", func(t txn.Summary) bool { return t.Undoing })
	if back {
		s.until("back", func(t txn.Summary) bool { return t.State == txn.StateRolledBack })
	}
	next, ctx := w.by("kim@desk")
	defer next.kill()
	result, err := updater.Resume(ctx, next.options())
	if err != nil || result == nil || result.Report == nil || result.Report.Count(updater.Updated) != len(w.hosts) {
		w.fail("resume: %v", err)
	}
	w.each(func(s *server) {
		if got := s.release(); got != newRelease {
			w.fail("%s has %s", s.name, got)
		}
	})
}
