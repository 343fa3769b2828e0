package main

import (
	"fmt"
	"time"
)

// rate estimates the time left from how a step's bytes went so far. Its clock is that of
// the screen, so it is only ever a guess for people.
type rate struct {
	since time.Time
	from  int64
}

// left is ", 40 s left", or nothing while it cannot be known.
func (r *rate) left(done, total int64) string { return r.leftAt(time.Now(), done, total) }

func (r *rate) leftAt(now time.Time, done, total int64) string {
	if r.since.IsZero() || done < r.from {
		r.since, r.from = now, done
		return ""
	}
	spent := now.Sub(r.since)
	moved := done - r.from
	if spent < 2*time.Second || moved <= 0 || done >= total {
		return ""
	}
	left := time.Duration(float64(spent) * float64(total-done) / float64(moved))
	if left < time.Minute {
		return fmt.Sprintf(", %d s left", int(left.Seconds())+1)
	}
	return fmt.Sprintf(", %d min left", int(left.Minutes())+1)
}
