package window

import "time"

// Span is one stretch of time in which hosts may be changed; a zero Close is no end.
type Span struct{ Open, Close time.Time }

// Length is how long it lasts; 0: it has no end.
func (s Span) Length() time.Duration {
	if s.Close.IsZero() {
		return 0
	}
	return s.Close.Sub(s.Open)
}

// Around is the span that now is in. It begins where it opened, but not further back than
// the windows repeat.
func (s Schedule) Around(now time.Time) (Span, bool) {
	for _, span := range s.spans(now.Add(-week-24*time.Hour), now) {
		if !span.Open.After(now) && (span.Close.IsZero() || span.Close.After(now)) {
			return span, true
		}
	}
	return Span{}, false
}

// Last is the newest span that opened after since and has closed by now.
func (s Schedule) Last(since, now time.Time) (last Span, ok bool) {
	for _, span := range s.spans(since, now) {
		if span.Open.After(since) && !span.Close.IsZero() && !span.Close.After(now) {
			last, ok = span, true
		}
	}
	return last, ok
}

// spans are those that touch the time between two moments, in order.
func (s Schedule) spans(from, to time.Time) []Span {
	var all []Span
	for at := from; ; {
		open, ok := s.Next(at)
		if !ok || open.After(to) {
			return all
		}
		until, _ := s.Open(open)
		all = append(all, Span{open, until})
		if until.IsZero() {
			return all
		}
		at = until
	}
}

// BlackedOut says whether now is on a day without changes.
func (s Schedule) BlackedOut(now time.Time) bool {
	w := wall(now, s.zone())
	for _, b := range s.Blackouts {
		if !w.Before(b.First) && w.Before(b.Last.AddDate(0, 0, 1)) {
			return true
		}
	}
	return false
}
