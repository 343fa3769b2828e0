package window

import (
	"testing"
	"time"

	"ipivs.com/valtctl/installer/site"
)

func TestSpans(t *testing.T) {
	s := Schedule{Windows: []site.Window{{Day: time.Sunday, From: 2 * time.Hour, To: 5 * time.Hour}},
		Blackouts: []site.Blackout{{First: time.Date(2026, 11, 8, 0, 0, 0, 0, time.UTC), Last: time.Date(2026, 11, 9, 0, 0, 0, 0, time.UTC)}}}
	hour := func(day, h int) time.Time { return time.Date(2026, 11, day, h, 0, 0, 0, time.UTC) }

	if span, ok := s.Around(hour(1, 4)); !ok || !span.Open.Equal(hour(1, 2)) || !span.Close.Equal(hour(1, 5)) || span.Length() != 3*time.Hour {
		t.Errorf("around Sunday 04:00 is %v, %v", span, ok)
	}
	if span, ok := s.Around(hour(1, 5)); ok {
		t.Errorf("its end is in %v", span)
	}
	if span, ok := s.Around(hour(8, 3)); ok {
		t.Errorf("a blackout is in %v", span)
	}
	if last, ok := s.Last(hour(1, 0), hour(10, 0)); !ok || !last.Open.Equal(hour(1, 2)) {
		t.Errorf("the last before Tuesday the 10th is %v, %v: the 8th was a blackout", last, ok)
	}
	if last, ok := s.Last(hour(1, 2), hour(10, 0)); ok {
		t.Errorf("%v did not open after it opened", last)
	}
	if last, ok := s.Last(hour(1, 0), hour(1, 4)); ok {
		t.Errorf("%v has not closed", last)
	}
	if !s.BlackedOut(hour(9, 23)) || s.BlackedOut(hour(10, 0)) || s.BlackedOut(hour(7, 23)) {
		t.Error("the blackout is not the 8th and the 9th")
	}
	if span, ok := (Schedule{}).Around(hour(1, 4)); !ok || !span.Close.IsZero() || span.Length() != 0 {
		t.Errorf("without windows it is always: %v, %v", span, ok)
	}
}
