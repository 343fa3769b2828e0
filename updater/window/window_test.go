package window

import (
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/site"
)

// schedule reads windows and blackouts as the site file has them.
func schedule(t *testing.T, zone string, windows, blackouts string) Schedule {
	t.Helper()
	text := "site: s\nssl: false\nclients: [10.0.0.0/16]\nhosts: [{name: a, address: 10.0.0.1, roles: [app]}]\nupdates:\n  timezone: " + zone + "\n"
	if windows != "" {
		text += "  windows: [" + windows + "]\n"
	}
	if blackouts != "" {
		text += "  blackouts: [" + blackouts + "]\n"
	}
	parsed, err := site.Parse("site.yaml", []byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Of(parsed.Updates)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(t *testing.T, s Schedule, text string) time.Time {
	t.Helper()
	for _, layout := range []string{"2006-01-02 15:04 -0700", "2006-01-02 15:04"} {
		if v, err := time.ParseInLocation(layout, text, s.zone()); err == nil {
			return v
		}
	}
	t.Fatalf("%q is no time", text)
	return time.Time{}
}

const never = "never"

func TestWhenAWindowIsOpen(t *testing.T) {
	const night, overMidnight = `"Sun 02:00-05:00"`, `"Sat 23:30-01:00"`
	for name, c := range map[string]struct {
		zone, windows, blackouts, now string
		until, next                   string // until "": closed; never: no end or no next one
	}{
		"before it":            {"UTC", night, "", "2026-11-22 01:59", "", "2026-11-22 02:00"},
		"its first moment":     {"UTC", night, "", "2026-11-22 02:00", "2026-11-22 05:00", "2026-11-22 02:00"},
		"its last minute":      {"UTC", night, "", "2026-11-22 04:59", "2026-11-22 05:00", "2026-11-22 04:59"},
		"its end is outside":   {"UTC", night, "", "2026-11-22 05:00", "", "2026-11-29 02:00"},
		"another day":          {"UTC", night, "", "2026-11-25 03:00", "", "2026-11-29 02:00"},
		"in the site's zone":   {"America/Chicago", night, "", "2026-11-22 08:30 +0000", "2026-11-22 05:00", "2026-11-22 02:30"},
		"over midnight":        {"UTC", overMidnight, "", "2026-11-22 00:30", "2026-11-22 01:00", "2026-11-22 00:30"},
		"after that":           {"UTC", overMidnight, "", "2026-11-22 01:00", "", "2026-11-28 23:30"},
		"two that meet":        {"UTC", `"Sat 22:00-00:00", "Sun 00:00-03:00"`, "", "2026-11-21 23:00", "2026-11-22 03:00", "2026-11-21 23:00"},
		"two that overlap":     {"UTC", `"Sun 01:00-03:00", "Sun 02:00-05:00"`, "", "2026-11-22 02:30", "2026-11-22 05:00", "2026-11-22 02:30"},
		"no windows":           {"UTC", "", "", "2026-11-22 02:30", never, "2026-11-22 02:30"},
		"a blackout to come":   {"UTC", "", `"2026-12-20/2027-01-03"`, "2026-11-22 02:30", "2026-12-20 00:00", "2026-11-22 02:30"},
		"in a blackout":        {"UTC", "", `"2026-12-20/2027-01-03"`, "2027-01-03 23:59", "", "2027-01-04 00:00"},
		"a window in one":      {"UTC", night, `"2026-12-20/2027-01-03"`, "2026-12-20 03:00", "", "2027-01-10 02:00"},
		"one ends in it":       {"UTC", `"Sat 22:00-04:00"`, `"2026-11-20/2026-11-21"`, "2026-11-21 23:00", "", "2026-11-22 00:00"},
		"one begins in it":     {"UTC", `"Sat 22:00-04:00"`, `"2026-11-22/2026-11-22"`, "2026-11-21 23:00", "2026-11-22 00:00", "2026-11-21 23:00"},
		"local midnight":       {"Asia/Tokyo", "", `"2026-12-20/2026-12-20"`, "2026-12-19 15:00 +0000", "", "2026-12-21 00:00"},
		"a very long one":      {"UTC", night, `"2026-12-20/9000-01-03"`, "2026-12-20 03:00", "", "9000-01-05 02:00"},
		"always by windows":    {"UTC", `"Sun 00:00-23:59","Sun 12:00-11:00","Mon 00:00-23:59","Mon 12:00-11:00","Tue 00:00-23:59","Tue 12:00-11:00","Wed 00:00-23:59","Wed 12:00-11:00","Thu 00:00-23:59","Thu 12:00-11:00","Fri 00:00-23:59","Fri 12:00-11:00","Sat 00:00-23:59","Sat 12:00-11:00"`, "", "2026-11-22 05:00", never, "2026-11-22 05:00"},
		"spring: an hour less": {"America/Chicago", night, "", "2027-03-14 01:59", "", "2027-03-14 03:00"},
		"spring: its length":   {"America/Chicago", night, "", "2027-03-14 03:00", "2027-03-14 05:00", "2027-03-14 03:00"},
		"spring: all gone":     {"America/Chicago", `"Sun 02:00-03:00"`, "", "2027-03-14 01:00", "", "2027-03-21 02:00"},
		"spring: part gone":    {"America/Chicago", `"Sun 02:30-03:30"`, "", "2027-03-14 01:59", "", "2027-03-14 03:00"},
		"autumn: an hour more": {"America/Chicago", `"Sun 00:30-05:00"`, "", "2026-11-01 00:30", "2026-11-01 05:00", "2026-11-01 00:30"},
		"autumn: the first":    {"America/Chicago", `"Sun 01:00-01:30"`, "", "2026-11-01 01:10 -0500", "2026-11-01 01:30 -0500", "2026-11-01 01:10 -0500"},
		"autumn: between":      {"America/Chicago", `"Sun 01:00-01:30"`, "", "2026-11-01 01:40 -0500", "", "2026-11-01 01:00 -0600"},
		"autumn: the second":   {"America/Chicago", `"Sun 01:00-01:30"`, "", "2026-11-01 01:10 -0600", "2026-11-01 01:30 -0600", "2026-11-01 01:10 -0600"},
		"half an hour's shift": {"Australia/Lord_Howe", `"Sun 01:00-03:00"`, "", "2026-10-04 01:30", "2026-10-04 03:00", "2026-10-04 01:30"},
	} {
		t.Run(name, func(t *testing.T) {
			s := schedule(t, c.zone, c.windows, c.blackouts)
			now := at(t, s, c.now)
			until, open := s.Open(now)
			switch {
			case open != (c.until != ""):
				t.Errorf("open is %v", open)
			case c.until == never && !until.IsZero():
				t.Errorf("it ends at %s", until)
			case c.until != "" && c.until != never && !until.Equal(at(t, s, c.until)):
				t.Errorf("it ends at %s, want %s", until.In(s.zone()), c.until)
			}
			if next, ok := s.Next(now); !ok || !next.Equal(at(t, s, c.next)) {
				t.Errorf("the next one is at %s (%v), want %s", next.In(s.zone()), ok, c.next)
			}
		})
	}
}

func TestTheAutumnHourIsInTheLengthOfAWindow(t *testing.T) {
	s := schedule(t, "America/Chicago", `"Sun 00:30-05:00"`, "")
	now := at(t, s, "2026-11-01 00:30")
	until, _ := s.Open(now)
	if got := until.Sub(now); got != 5*time.Hour+30*time.Minute {
		t.Errorf("it is open for %s, want 5h30m", got)
	}
}

func TestWhatFitsAWindow(t *testing.T) {
	s := schedule(t, "America/Chicago", `"Sun 02:00-05:00"`, `"2026-11-29/2026-12-01"`)
	for name, c := range map[string]struct {
		now   string
		takes time.Duration
		want  string // part of the reason; empty: it fits
	}{
		"to the last second": {"2026-11-22 04:00", time.Hour, ""},
		"a second too long":  {"2026-11-22 04:00", time.Hour + time.Second, "ends in 1h0m0s; the next one opens on Sun 6 December 2026, 02:00 CST"},
		"outside":            {"2026-11-22 06:00", time.Second, "outside of the maintenance windows; the next one opens on Sun 6 December 2026, 02:00 CST"},
		"in spring":          {"2027-03-14 01:59", time.Second, "opens on Sun 14 March 2027, 03:00 CDT"},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Fits(at(t, s, c.now), c.takes)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if err := (Schedule{}).Fits(time.Unix(0, 0), 1000*time.Hour); err != nil {
		t.Errorf("without windows nothing is in the way: %v", err)
	}
}

func TestAnUnknownTimeZoneIsRefused(t *testing.T) {
	if _, err := Of(site.Updates{Timezone: "Mars/Olympus"}); err == nil {
		t.Error("it was taken")
	}
}

// The fast answers agree with looking at the clock minute by minute.
func FuzzOpenAndNextAgreeWithTheClock(f *testing.F) {
	f.Add(int64(1_793_500_000), uint8(0), uint8(0), uint16(60), uint16(90), int16(3), uint8(2))
	f.Add(int64(1_804_996_800), uint8(1), uint8(0), uint16(120), uint16(300), int16(-1), uint8(0))
	f.Add(int64(1_790_000_000), uint8(2), uint8(6), uint16(1410), uint16(60), int16(0), uint8(9))
	zones := []string{"America/Chicago", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "UTC"}
	f.Fuzz(func(t *testing.T, unix int64, zone, day uint8, from, to uint16, black int16, length uint8) {
		location, err := time.LoadLocation(zones[int(zone)%len(zones)])
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(1_700_000_000+(unix%400_000_000+400_000_000)%400_000_000, 0).Truncate(time.Minute)
		w := site.Window{Day: time.Weekday(day % 7), From: time.Duration(from%1440) * time.Minute, To: time.Duration(to%1440) * time.Minute}
		if w.From == w.To {
			t.Skip("the site file refuses it")
		}
		first := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(black)%20)
		s := Schedule{Windows: []site.Window{w}, Zone: location,
			Blackouts: []site.Blackout{{First: first, Last: first.AddDate(0, 0, int(length%12))}}}
		until, open := s.Open(now)
		next, ok := s.Next(now)
		if !ok || open != byTheClock(s, now) || open != next.Equal(now) {
			t.Fatalf("%v at %s: open %v, next %s, %v", w, now.In(location), open, next, ok)
		}
		change := next
		if open {
			change = until
		}
		for m := now; m.Before(change); m = m.Add(time.Minute) {
			if byTheClock(s, m) != open {
				t.Fatalf("%v: at %s it changes, not at %s", w, m.In(location), change.In(location))
			}
		}
		if byTheClock(s, change) == open {
			t.Fatalf("%v: at %s nothing changes", w, change.In(location))
		}
	})
}

// byTheClock looks at a clock on the wall and at a calendar.
func byTheClock(s Schedule, t time.Time) bool {
	local := t.In(s.Zone)
	date := local.Format(time.DateOnly)
	for _, b := range s.Blackouts {
		if date >= b.First.Format(time.DateOnly) && date <= b.Last.Format(time.DateOnly) {
			return false
		}
	}
	clock := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute
	yesterday := (local.Weekday() + 6) % 7
	for _, w := range s.Windows {
		switch over := w.To <= w.From; {
		case !over && local.Weekday() == w.Day && clock >= w.From && clock < w.To,
			over && local.Weekday() == w.Day && clock >= w.From,
			over && yesterday == w.Day && clock < w.To:
			return true
		}
	}
	return false
}
