package restrict

import (
	"context"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/keyuse"
)

// Hours are when the host may be changed, by its copy of the site file. Package updater/window
// reckons; it stands above this one.
type Hours interface {
	// Window is the maintenance window that now is in, outside of every blackout; false: none is.
	// A zero close is no end.
	Window(now time.Time) (open, closes time.Time, ok bool)
	// Ahead says whether now is in one of the nights before a window, in which is looked ahead.
	Ahead(now time.Time) bool
	// Next says in words when the next window opens.
	Next(now time.Time) string
}

// Clock is the clock that the host judges by.
type Clock struct {
	Now func() time.Time // the host's own
	// Ahead is by how much the windows are judged later than that, for practice; Given says that
	// they are, so that the host's clock is not asked whether it is right.
	Ahead time.Duration
	Given bool
}

// moment is when something is asked for.
type moment struct {
	now            time.Time // as windows are judged
	closes         time.Time // when the window does, as it is judged; zero: none is open, or it has no end
	opened, latest time.Time // when it opened, and when the apply half may begin at the latest, by the host's own clock
	has            string    // the release that the host has
}

// moment says when now is, and refuses what may not be begun then: a change outside of the
// maintenance windows, and fetching ahead of time when nobody looks ahead. A clock that is not
// synchronised says nothing of windows.
func (j *Judge) moment(ctx context.Context, what string, stage bool) (moment, error) {
	reply, err := j.host.Facts(ctx, agent.FactsRequest{})
	if err != nil {
		return moment{}, err
	}
	m := moment{now: j.Clock.Now().Add(j.Clock.Ahead)}
	if !reply.Facts.Clock.Synchronized && !j.Clock.Given {
		return m, refuse(keyuse.Clock, what, "this host's clock is not synchronised, so it does not know whether a maintenance window is open: it shows %s",
			m.now.UTC().Format(time.DateTime+" UTC"))
	}
	if reply.Facts.Installed == nil {
		return m, refuse(keyuse.Foreign, what, "VALT is not installed on this host")
	}
	m.has = reply.Facts.Installed.Release
	s, _ := j.Own.About()
	if len(s.Updates.Windows) == 0 {
		return m, refuse(keyuse.OutsideHours, what, "the site file names no maintenance window")
	}
	if opened, closes, open := j.Hours.Window(m.now); open {
		if m.opened, m.closes = opened.Add(-j.Clock.Ahead), closes; !closes.IsZero() {
			m.latest = closes.Add(-j.Clock.Ahead)
		}
		return m, nil
	}
	if stage && j.Hours.Ahead(m.now) {
		return m, nil
	}
	return m, refuse(keyuse.OutsideHours, what, "it is outside of the maintenance windows; %s", j.Hours.Next(m.now))
}

// holds wants the window to be open for so long.
func (m moment) holds(what string, long time.Duration) error {
	if m.closes.IsZero() || !m.now.Add(long).After(m.closes) {
		return nil
	}
	return refuse(keyuse.OutsideHours, what, "its drain would wait %s, and the maintenance window closes in %s",
		long.Round(time.Second), m.closes.Sub(m.now).Round(time.Second))
}
