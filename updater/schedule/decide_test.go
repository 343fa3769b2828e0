package schedule

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/updater/window"
)

// sundays is a site in Chicago with one window a week and days without changes.
func sundays(t *testing.T) window.Schedule {
	t.Helper()
	day := func(text string) time.Time {
		d, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	s, err := window.Of(site.Updates{Timezone: "America/Chicago",
		Windows:   []site.Window{{Day: time.Sunday, From: 2 * time.Hour, To: 5 * time.Hour}},
		Blackouts: []site.Blackout{{First: day("2026-12-20"), Last: day("2027-01-03")}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	when, err := time.Parse("2006-01-02 15:04 -0700", text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func TestDecide(t *testing.T) {
	newer := &Offer{Release: "6.5.0", Percent: 100, Installed: []string{"6.4.1", "6.4.1"}}
	const opened = "2026-11-15 02:00 -0600"
	done := func(again string) State {
		a := &Attempt{Window: at(t, opened), Began: at(t, opened), Ended: at(t, opened), Outcome: "updated"}
		if again != "" {
			a.Again = at(t, again)
		}
		return State{Attempt: a}
	}
	cases := []struct {
		name  string
		now   string
		state State
		offer *Offer
		do    Action
		why   string // part of it
		stage bool
	}{
		{"days before a window nothing is done", "2026-11-11 12:00 -0600", State{}, newer, Nothing, "Sun 15 November 2026, 02:00 CST", false},
		{"three nights before it looks ahead", "2026-11-12 02:00 -0600", State{}, newer, LookAhead, "3 nights", true},
		{"once a night", "2026-11-12 02:05 -0600", State{Looked: at(t, "2026-11-12 02:00 -0600")}, newer, Nothing, "next window", false},
		{"and in the next one again", "2026-11-13 02:00 -0600", State{Looked: at(t, "2026-11-12 02:00 -0600")}, newer, LookAhead, "2 nights", true},
		{"a look that was slept through is made up", "2026-11-13 16:00 -0600", State{Looked: at(t, "2026-11-12 02:00 -0600")}, newer, LookAhead, "2 nights", true},
		{"with nothing newer it looks and fetches nothing", "2026-11-14 02:00 -0600", State{}, &Offer{Release: "6.4.1", Percent: 100, Installed: []string{"6.4.1"}}, LookAhead, "1 night", false},
		{"in a blackout it fetches nothing", "2027-01-03 02:00 -0600", State{Looked: at(t, "2026-11-12 02:00 -0600")}, newer, Nothing, "10 January 2027", false},
		{"the first night after a blackout", "2027-01-07 02:00 -0600", State{Looked: at(t, "2026-11-12 02:00 -0600")}, newer, LookAhead, "3 nights", true},
		{"a window in a blackout is none", "2026-12-20 03:00 -0600", State{}, newer, Nothing, "10 January 2027", false},
		{"this site's own beginning is waited for", opened, State{}, newer, Nothing, "begins at", false},
		{"then it updates", "2026-11-15 02:46 -0600", State{}, newer, Update, "until Sun 15 November 2026, 05:00 CST", false},
		{"nobody has asked for the release yet", "2026-11-15 02:46 -0600", State{}, nil, Update, "open", false},
		{"nothing is newer", "2026-11-15 02:46 -0600", State{}, &Offer{Release: "6.4.1", Percent: 100, Installed: []string{"6.4.1"}}, Nothing, "every host has 6.4.1", false},
		{"one host lags behind", "2026-11-15 02:46 -0600", State{}, &Offer{Release: "6.5.0", Percent: 100, Installed: []string{"6.5.0", "6.4.1"}}, Update, "", false},
		{"it never goes back", "2026-11-15 02:46 -0600", State{}, &Offer{Release: "6.4.1", Percent: 100, Installed: []string{"6.5.0"}}, Nothing, "only a person goes back", false},
		{"a release that halted waits for a person", "2026-11-15 02:46 -0600", State{Halted: "6.5.0"}, newer, Nothing, "halted before", false},
		{"the one after it does not", "2026-11-15 02:46 -0600", State{Halted: "6.4.9"}, newer, Update, "", false},
		{"not in the vendor's share", "2026-11-15 02:46 -0600", State{}, &Offer{Release: "6.5.0", Installed: []string{"6.4.1"}}, Nothing, "0% of the sites", false},
		{"a window is used once", "2026-11-15 03:30 -0600", done(""), newer, Nothing, "used already: updated", false},
		{"unless it was only a failed look", "2026-11-15 03:30 -0600", done("2026-11-15 03:15 -0600"), newer, Update, "", false},
		{"and not before its time", "2026-11-15 03:10 -0600", done("2026-11-15 03:15 -0600"), newer, Nothing, "used already", false},
		{"the next window is another", "2026-11-22 03:00 -0600", done(""), newer, Update, "", false},
		{"paused", "2026-11-15 02:46 -0600", State{Paused: &Pause{Who: "ada", Reason: "trial"}}, newer, Nothing, "ada paused it until it is lifted: trial", false},
		{"paused until later", "2026-11-15 02:46 -0600", State{Paused: &Pause{Who: "ada", Reason: "trial", Until: at(t, "2026-11-16 00:00 -0600")}}, newer, Nothing, "until Mon 16", false},
		{"a pause ends by itself", "2026-11-22 03:00 -0600", State{Paused: &Pause{Until: at(t, "2026-11-16 00:00 -0600")}}, newer, Update, "", false},
		{"the machine was off in the window", "2026-11-15 09:00 -0600", State{Since: at(t, "2026-11-01 12:00 -0600"), Attempt: &Attempt{Window: at(t, "2026-11-08 02:00 -0600"), Ended: at(t, "2026-11-08 04:00 -0600")}}, nil, Missed, "Sun 15 November 2026, 02:00 CST", false},
		{"that is told once", "2026-11-15 09:00 -0600", State{Since: at(t, "2026-11-01 12:00 -0600"), Missed: at(t, opened)}, nil, Nothing, "next window", false},
		{"a window before it was enabled was not missed", "2026-11-15 09:00 -0600", State{Since: at(t, "2026-11-15 08:00 -0600")}, nil, Nothing, "", false},
		{"a window that is open is not missed", "2026-11-15 02:46 -0600", State{Since: at(t, "2026-11-09 12:00 -0600")}, newer, Update, "", false},
		{"a rollout that was cut off comes first", "2026-11-15 09:00 -0600", State{Paused: &Pause{}, Attempt: &Attempt{Window: at(t, opened), Run: "r1"}}, newer, Resume, "r1", false},
		{"a look at the window that was cut off is made again", "2026-11-15 03:30 -0600", State{Attempt: &Attempt{Window: at(t, "2026-11-08 02:00 -0600")}}, newer, Update, "", false},
		{"spring: the hour that is skipped is missing", "2026-03-08 01:59 -0600", State{Looked: at(t, "2026-03-07 03:00 -0600")}, newer, Nothing, "03:00 CDT", false},
		{"spring: the window is what is left of it", "2026-03-08 03:46 -0500", State{}, newer, Update, "05:00 CDT", false},
		{"spring: the night before is at the wall's hour", "2026-03-07 02:59 -0600", State{Looked: at(t, "2026-03-06 03:00 -0600")}, newer, Nothing, "", false},
		{"spring: and not an hour late", "2026-03-07 03:00 -0600", State{Looked: at(t, "2026-03-06 03:00 -0600")}, newer, LookAhead, "1 night", true},
		{"autumn: two o'clock after the hour that comes twice", "2026-11-01 01:59 -0600", State{Looked: at(t, "2026-10-31 02:00 -0500")}, newer, Nothing, "02:00 CST", false},
		{"autumn: the window", "2026-11-01 02:46 -0600", State{}, newer, Update, "05:00 CST", false},
		{"autumn: the night before has 25 hours", "2026-10-31 02:00 -0500", State{Looked: at(t, "2026-10-30 02:00 -0500")}, newer, LookAhead, "1 night", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := Decide(Input{Now: at(t, c.now), Site: "st-marys", Windows: sundays(t), State: c.state, Offer: c.offer})
			if got.Do != c.do || !strings.Contains(got.Why, c.why) || got.Stage != c.stage {
				t.Errorf("got %s (stage %v): %s; want %s (stage %v): …%s…", got.Do, got.Stage, got.Why, c.do, c.stage, c.why)
			}
		})
	}
}

func TestWithoutAWindowToComeNothingIsDone(t *testing.T) {
	w := window.Schedule{Windows: []site.Window{{Day: time.Sunday, From: time.Hour, To: 2 * time.Hour}},
		Blackouts: []site.Blackout{{First: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Last: time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)}}}
	got := Decide(Input{Now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), Site: "s", Windows: w})
	if got.Do != Nothing || !strings.Contains(got.Why, "3 January 2027") {
		t.Errorf("in a year without changes it would %s: %s", got.Do, got.Why)
	}
}

// An hour that comes twice makes the window an hour longer, and it still is one window.
func TestAutumnWindowIsUsedOnce(t *testing.T) {
	zone, err := time.LoadLocation("America/Chicago")
	if err != nil {
		t.Fatal(err)
	}
	w := window.Schedule{Zone: zone, Windows: []site.Window{{Day: time.Sunday, From: time.Hour, To: 2 * time.Hour}}}
	first, again := at(t, "2026-11-01 01:40 -0500"), at(t, "2026-11-01 01:40 -0600")
	d := Decide(Input{Now: first, Site: "s", Windows: w})
	if d.Do != Update || d.Window.Length() != 2*time.Hour {
		t.Fatalf("in the first of the two hours it would %s (%s), in a window of %s", d.Do, d.Why, d.Window.Length())
	}
	s := State{Attempt: &Attempt{Window: d.Window.Open, Began: first, Ended: first, Outcome: "updated"}}
	if d := Decide(Input{Now: again, Site: "s", Windows: w, State: s}); d.Do != Nothing {
		t.Errorf("in the second it would %s again", d.Do)
	}
}

func TestPhasedShares(t *testing.T) {
	const sites = 20000
	for _, percent := range []int{0, 1, 10, 50, 99, 100} {
		in := 0
		for i := range sites {
			site := fmt.Sprintf("site-%d", i)
			if Phased(site, "6.5.0", percent) {
				in++
				if !Phased(site, "6.5.0", min(100, percent+5)) {
					t.Fatalf("%s drops out when the share grows", site)
				}
			}
		}
		if off := in - sites*percent/100; off < -sites/100 || off > sites/100 {
			t.Errorf("%d%% are %d of %d sites", percent, in, sites)
		}
	}
	same := 0
	for i := range 1000 {
		site := fmt.Sprintf("site-%d", i)
		if Phased(site, "6.5.0", 10) && Phased(site, "6.5.1", 10) {
			same++
		}
	}
	if same > 30 {
		t.Errorf("%d of 1000 sites are first with both of two releases; 10 are expected", same)
	}
}

func TestJitterLeavesMostOfTheWindow(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := range 200 {
		site := fmt.Sprintf("site-%d", i)
		j := Jitter(site, time.Hour)
		if j < 0 || j >= 15*time.Minute || j != Jitter(site, time.Hour) {
			t.Fatalf("%s begins %s after the opening of an hour", site, j)
		}
		seen[j] = true
	}
	if len(seen) < 150 {
		t.Errorf("200 sites begin at %d times", len(seen))
	}
	if j := Jitter("s", time.Second); j != 0 {
		t.Errorf("a second leaves room for %s", j)
	}
}
