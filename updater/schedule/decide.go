package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"ipivs.com/valtctl/repos/release"
	"ipivs.com/valtctl/updater/window"
)

// nights is how many nights before a window the schedule looks ahead: time enough for a
// firewall to be changed.
const nights = 3

// Jitter: sites whose windows open together do not ask the vendor together. It takes at
// most a quarter of a window.
const (
	mostJitter  = 30 * time.Minute
	jitterShare = 4
)

// Decide says what there is to do now. Without an Offer it says what to do if there is a
// newer release; whoever has asked decides again with it.
func Decide(in Input) Decision {
	if a := in.State.Attempt; a != nil && a.Run != "" && a.Ended.IsZero() {
		return Decision{Do: Resume, Why: "the rollout " + a.Run + " was cut off", Window: window.Span{Open: a.Window, Close: a.Until}}
	}
	if p := in.State.Paused; p.holds(in.Now) {
		return Decision{Do: Nothing, Why: p.text(in.Windows)}
	}
	if missed, ok := in.missed(); ok {
		return Decision{Do: Missed, Why: "the window that opened on " + When(in.Windows, missed.Open) + " went by unused", Window: missed}
	}
	span, open := in.Windows.Around(in.Now)
	if open {
		return in.inside(span)
	}
	return in.outside()
}

// holds says whether a pause holds at now.
func (p *Pause) holds(now time.Time) bool {
	return p != nil && (p.Until.IsZero() || now.Before(p.Until))
}

func (p *Pause) text(w window.Schedule) string {
	until := "until it is lifted"
	if !p.Until.IsZero() {
		until = "until " + When(w, p.Until)
	}
	return fmt.Sprintf("%s paused it %s: %s", p.Who, until, p.Reason)
}

// missed is the last window, where it opened and closed with nothing tried: the machine
// was off, or the clock was set forward.
func (in Input) missed() (window.Span, bool) {
	s := in.State
	if s.Since.IsZero() {
		return window.Span{}, false
	}
	last, ok := in.Windows.Last(s.Since, in.Now)
	if !ok || !last.Open.After(s.Missed) || s.Attempt != nil && !s.Attempt.Window.Before(last.Open) {
		return window.Span{}, false
	}
	return last, true
}

// inside decides in an open window.
func (in Input) inside(span window.Span) Decision {
	d := Decision{Do: Nothing, Window: span}
	if a := in.State.Attempt; a != nil && a.Window.Equal(span.Open) && (a.Again.IsZero() || in.Now.Before(a.Again)) {
		d.Why = "this window was used already: " + a.Outcome
		return d
	}
	if begin := span.Open.Add(Jitter(in.Site, span.Length())); in.Now.Before(begin) {
		d.Why = "the window is open; this site begins at " + When(in.Windows, begin)
		return d
	}
	if why := in.unwanted(); why != "" {
		d.Why = why
		return d
	}
	d.Do, d.Why = Update, "the maintenance window is open"
	if !span.Close.IsZero() {
		d.Why += " until " + When(in.Windows, span.Close)
	}
	return d
}

// unwanted is why the release on offer is not to be rolled now; empty: it is, or nobody
// has asked.
func (in Input) unwanted() string {
	o := in.Offer
	if o == nil {
		return ""
	}
	newer := false
	for _, have := range o.Installed {
		if release.Newest([]string{have, o.Release}) != o.Release {
			return fmt.Sprintf("the site has %s, which is newer than %s; only a person goes back", have, o.Release)
		}
		newer = newer || have != o.Release
	}
	switch {
	case !newer:
		return "every host has " + o.Release
	case o.Release == in.State.Halted:
		return "the rollout to " + o.Release + " halted before; only a person begins it again: valtctl update, or valtctl schedule enable"
	case !Phased(in.Site, o.Release, o.Percent):
		return fmt.Sprintf("the vendor lets %d%% of the sites have %s by now, and this one is not among them", o.Percent, o.Release)
	}
	return ""
}

// outside decides between the windows: in each of the nights before one, at the hour at
// which it will open, everything that it will need is tried once.
func (in Input) outside() Decision {
	open, ok := in.Windows.Next(in.Now)
	if !ok {
		return Decision{Do: Nothing, Why: "no maintenance window follows"}
	}
	until, _ := in.Windows.Open(open)
	d := Decision{Do: Nothing, Why: "the next window opens on " + When(in.Windows, open), Window: window.Span{Open: open, Close: until}}
	for night := 1; night <= nights; night++ {
		due := in.local(open).AddDate(0, 0, -night)
		if in.Now.Before(due) {
			continue
		}
		if in.State.Looked.Before(due) {
			d.Do, d.Stage = LookAhead, !in.Windows.BlackedOut(in.Now) && in.unwanted() == ""
			d.Why = fmt.Sprintf("the window opens in %s", plural(night, "night"))
		}
		break
	}
	return d
}

// Ahead says whether now is in one of the nights before a window, in which is looked ahead, and
// on no day without changes.
func Ahead(w window.Schedule, now time.Time) bool {
	open, ok := w.Next(now)
	return ok && !w.BlackedOut(now) && !now.Before(Input{Windows: w}.local(open).AddDate(0, 0, -nights))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// local is t on the site's wall, where days have other lengths when the clock is changed.
func (in Input) local(t time.Time) time.Time {
	if in.Windows.Zone == nil {
		return t.UTC()
	}
	return t.In(in.Windows.Zone)
}

// When is a time for people, by the site's clock.
func When(w window.Schedule, t time.Time) string {
	return Input{Windows: w}.local(t).Format("Mon 2 January 2006, 15:04 MST")
}

// Jitter is how long after a window's opening a site begins. It is the same every time.
func Jitter(site string, length time.Duration) time.Duration {
	most := mostJitter
	if length > 0 {
		most = min(most, length/jitterShare)
	}
	steps := uint64(most / time.Second)
	if steps == 0 {
		return 0
	}
	return time.Duration(fraction("jitter", site)%steps) * time.Second
}

// Phased says whether a site is among the share of all sites that are to have a release by
// now. Which sites go first differs from release to release; one that is among the first
// 10 % stays among the first 50 %.
func Phased(site, version string, percent int) bool {
	return fraction("phase", site+"\n"+version)%10000 < uint64(max(0, percent))*100
}

// fraction spreads names evenly over all numbers.
func fraction(purpose, name string) uint64 {
	sum := sha256.Sum256([]byte(purpose + "\n" + name))
	return binary.BigEndian.Uint64(sum[:8])
}
