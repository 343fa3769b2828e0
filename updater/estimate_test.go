package updater

import (
	"strings"
	"testing"
	"time"
)

func TestAHostIsStartedOnlyIfItsWayBackFitsToo(t *testing.T) {
	closes := time.Date(2026, 11, 15, 11, 0, 0, 0, time.UTC)
	e := Estimate{Update: 10 * time.Minute, Soak: time.Minute, Back: 9 * time.Minute}
	for _, c := range []struct {
		left  time.Duration
		fits  bool
		why   string
		drain time.Duration // of half an hour at most
	}{
		{3 * time.Hour, true, "", 30 * time.Minute},
		{45 * time.Minute, true, "", 25 * time.Minute},
		{20 * time.Minute, true, "", leastDrain},
		{20*time.Minute - time.Second, false, "up to 20m0s, and the maintenance window closes in 19m59s", leastDrain},
		{0, false, "has closed", leastDrain},
		{-time.Hour, false, "has closed", leastDrain},
	} {
		now := closes.Add(-c.left)
		err := e.FitsBefore(closes, now)
		if (err == nil) != c.fits || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s before the window closes: %v, want …%s…", c.left, err, c.why)
		}
		if got := e.DrainBefore(closes, now, 30*time.Minute); got != c.drain {
			t.Errorf("%s before the window closes recordings are waited for for %s, want %s", c.left, got, c.drain)
		}
	}
}
