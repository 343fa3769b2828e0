// Package window tells whether hosts may be changed at a moment: in the site's weekly
// windows, outside of its blackouts, by the clock on the wall in the site's time zone. It
// is arithmetic alone: it reads no clock, and what happens in a window is for package
// updater.
package window

import (
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/site"
)

// Schedule is when hosts may be changed. Without windows that is always, but for the
// blackouts.
//
// A moment is in a window if a clock on the wall shows a time in it. So an hour that is
// skipped in spring is missing from a window, and one that comes twice in autumn is in it
// twice.
type Schedule struct {
	Windows   []site.Window
	Blackouts []site.Blackout
	Zone      *time.Location // nil: UTC
}

// Of is the schedule of a site. The error is that of a time zone that is not known.
func Of(u site.Updates) (Schedule, error) {
	s := Schedule{Windows: u.Windows, Blackouts: u.Blackouts, Zone: time.UTC}
	if u.Timezone == "" {
		return s, nil
	}
	zone, err := time.LoadLocation(u.Timezone)
	if err != nil {
		return s, fmt.Errorf("reading the time zone of the maintenance windows: %w", err)
	}
	s.Zone = zone
	return s, nil
}

// Always says that no moment is ruled out.
func (s Schedule) Always() bool { return len(s.Windows) == 0 && len(s.Blackouts) == 0 }

// Open says whether hosts may be changed at now, and until when; a zero time is no end.
// Windows that meet are one.
func (s Schedule) Open(now time.Time) (until time.Time, open bool) {
	if !s.inside(now) {
		return time.Time{}, false
	}
	limit := s.limit(now)
	for at := s.edge(now); !at.IsZero() && at.Before(limit); at = s.edge(at) {
		if !s.inside(at) {
			return at, true
		}
	}
	return time.Time{}, true
}

// Next is when hosts may be changed again: now, if they may. False: never.
func (s Schedule) Next(now time.Time) (time.Time, bool) {
	if s.inside(now) {
		return now, true
	}
	limit := s.limit(now)
	for at := s.edge(now); !at.IsZero() && at.Before(limit); at = s.edge(at) {
		if s.inside(at) {
			return at, true
		}
	}
	return time.Time{}, false
}

// Fits says why something that takes so long may not be begun at now; nil: it may.
func (s Schedule) Fits(now time.Time, takes time.Duration) error {
	until, open := s.Open(now)
	switch {
	case !open:
		return fmt.Errorf("it is outside of the maintenance windows; %s", s.nextText(now))
	case until.IsZero() || !now.Add(takes).After(until):
		return nil
	}
	return fmt.Errorf("it and the way back take up to %s, and the maintenance window ends in %s; %s",
		takes.Round(time.Second), until.Sub(now).Round(time.Second), s.nextText(until))
}

func (s Schedule) nextText(after time.Time) string {
	next, ok := s.Next(after)
	if !ok {
		return "no other one follows"
	}
	return "the next one opens on " + next.In(s.zone()).Format("Mon 2 January 2006, 15:04 MST")
}

func (s Schedule) zone() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}

// settled is how long after everything that comes once (the last blackout, a change of the
// clock) the weeks repeat: two weeks, and a day for the change.
const settled = 15 * 24 * time.Hour

// limit is a time after which nothing new can be seen.
func (s Schedule) limit(now time.Time) time.Time {
	limit := now
	for _, b := range s.Blackouts {
		if end := b.Last.AddDate(0, 0, 2); end.After(limit) { // a day later, in any zone
			limit = end
		}
	}
	return limit.Add(2 * settled)
}

// wall is what the clock on the wall shows, written as a time in UTC so that arithmetic
// with it has no jumps.
func wall(t time.Time, zone *time.Location) time.Time {
	local := t.In(zone)
	_, offset := local.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

const week = 7 * 24 * time.Hour

// sinceSunday is how far into its week, which begins on Sunday, a wall time is.
func sinceSunday(w time.Time) time.Duration {
	midnight := time.Date(w.Year(), w.Month(), w.Day(), 0, 0, 0, 0, time.UTC)
	return time.Duration(w.Weekday())*24*time.Hour + w.Sub(midnight)
}

// span is a window as its start in the week, and its length.
func span(w site.Window) (start, length time.Duration) {
	length = w.To - w.From
	if length <= 0 {
		length += 24 * time.Hour
	}
	return time.Duration(w.Day)*24*time.Hour + w.From, length
}

// since is how long ago in the week start was.
func since(start, at time.Duration) time.Duration { return (at - start + week) % week }

// inside says whether a moment is in a window and in no blackout.
func (s Schedule) inside(t time.Time) bool {
	w := wall(t, s.zone())
	for _, b := range s.Blackouts {
		if !w.Before(b.First) && w.Before(b.Last.AddDate(0, 0, 1)) {
			return false
		}
	}
	if len(s.Windows) == 0 {
		return true
	}
	for _, window := range s.Windows {
		start, length := span(window)
		if since(start, sinceSunday(w)) < length {
			return true
		}
	}
	return false
}

// edge is the next moment after t at which inside may change; zero: it never does. Between
// two changes of the clock the wall runs evenly, so the edges are found on the wall and
// those that lie behind the next change are looked for again from there.
func (s Schedule) edge(t time.Time) time.Time {
	w := wall(t, s.zone())
	var ahead time.Duration = -1
	consider := func(d time.Duration) {
		if d > 0 && (ahead < 0 || d < ahead) {
			ahead = d
		}
	}
	for _, window := range s.Windows {
		start, length := span(window)
		at := sinceSunday(w)
		consider(week - since(start, at))
		consider(week - since((start+length)%week, at))
	}
	for _, b := range s.Blackouts {
		consider(b.First.Sub(w))
		consider(b.Last.AddDate(0, 0, 1).Sub(w))
	}
	if _, end := t.In(s.zone()).ZoneBounds(); !end.IsZero() && !s.Always() {
		consider(end.Sub(t))
	}
	if ahead < 0 {
		return time.Time{}
	}
	return t.Add(ahead)
}
