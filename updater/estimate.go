package updater

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// DefaultExpected is how long a host's update is expected to take where none was measured:
// some minutes of drain, and containers that start slowly.
const DefaultExpected = 15 * time.Minute

// remembered is how many of the newest updates count: what a host was like long ago tells
// little.
const remembered = 5

// Expected is how long a host's next update takes, from how long earlier ones took, newest
// first: the longest of the newest ones, since a window must hold the bad case too.
func Expected(took []time.Duration) time.Duration {
	took = slices.DeleteFunc(slices.Clone(took), func(d time.Duration) bool { return d <= 0 })
	if len(took) == 0 {
		return DefaultExpected
	}
	return slices.Max(took[:min(len(took), remembered)])
}

// Estimate is how long a host's part of a rollout may take.
type Estimate struct {
	Update time.Duration // until it is confirmed
	Soak   time.Duration // that it is watched afterwards
	Back   time.Duration // if it must be taken back
}

// Whole is the longest that it can take until the host is well again.
func (e Estimate) Whole() time.Duration { return e.Update + e.Soak + e.Back }

// FitsBefore says why a host may not be started at now, where a window closes; nil: it may.
func (e Estimate) FitsBefore(closes, now time.Time) error {
	left := closes.Sub(now)
	switch {
	case left <= 0:
		return errors.New("the maintenance window has closed")
	case e.Whole() > left:
		return fmt.Errorf("it and the way back take up to %s, and the maintenance window closes in %s",
			e.Whole().Round(time.Second), left.Round(time.Second))
	}
	return nil
}

// DrainBefore is how long recordings may be waited for at now, at most that long, so that
// there is still time for the update and for the way back before a window closes.
func (e Estimate) DrainBefore(closes, now time.Time, most time.Duration) time.Duration {
	return min(most, max(closes.Sub(now)-e.Whole(), leastDrain))
}

// leastDrain is what a drain is given in any case: two looks at the recorders.
const leastDrain = 10 * time.Second

// EstimateOf is a host's estimate from how long its updates and its ways back took, newest
// first. Where no way back was measured it is taken to be as long as the update: the same
// containers are swapped, after the same drain.
func EstimateOf(updates, backs []time.Duration, soak time.Duration) Estimate {
	e := Estimate{Update: Expected(updates), Soak: soak}
	e.Back = e.Update
	if len(backs) > 0 {
		e.Back = Expected(backs)
	}
	return e
}
