package schedule

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/status"
)

// Watching the key: how often the other hosts are asked what was tried with it, and how long
// that may take.
const (
	watchEvery  = 15 * time.Minute
	watchWithin = time.Minute
)

// watchKey asks the other hosts whether the key was refused something that this schedule does
// not ask for, and tells people of what it has not told yet. A host that cannot be asked is asked
// the next time; that it cannot be reached is for a look ahead to tell.
func (r *clockRun) watchKey(ctx context.Context) {
	if gone := r.Clock().Sub(r.state.Watched); gone >= 0 && gone < watchEvery || ctx.Err() != nil {
		return
	}
	o, home := r.Options.Options, fleet.LeaseHost(r.Site).Name
	o.Hosts = nil
	for _, h := range o.Site.Hosts {
		if h.Name != home {
			o.Hosts = append(o.Hosts, h.Name)
		}
	}
	if len(o.Hosts) == 0 {
		return
	}
	r.state.Watched = r.Clock()
	limited, cancel := context.WithTimeout(ctx, watchWithin)
	defer cancel()
	hosts, _ := status.Gather(limited, o, false) // each host has its error
	for _, h := range hosts {
		if h.Err == nil {
			r.tellMisuse(h)
		}
	}
}

// tellMisuse tells what is new of a host's record. Times are that host's own.
func (r *clockRun) tellMisuse(h status.Host) {
	since := r.state.ToldUses[h.Host]
	latest := since
	var lines []string
	for _, u := range h.KeyUse.Alarming(time.Time{}) {
		if !u.First.After(since) {
			continue
		}
		lines = append(lines, misuseLine(h.Host, u))
		if u.First.After(latest) {
			latest = u.First
		}
	}
	if len(lines) == 0 {
		return
	}
	if r.state.ToldUses == nil {
		r.state.ToldUses = map[string]time.Time{}
	}
	r.state.ToldUses[h.Host] = latest
	r.notice("key", true, "the schedule's key was refused on "+h.Host,
		fmt.Sprintf("Somebody asked %s with the key of unattended updates for what the schedule does not ask for. Nothing of it was done:\n\n%s\n"+
			"If nobody of yours tried that, the key is stolen: it lies on %s alone. valtctl schedule disable takes it its access; then find\n"+
			"out who was on that server before valtctl schedule enable makes a new one.\n", h.Host, bullets(lines), fleet.LeaseHost(r.Site).Name), nil)
}

// misuseLine is one such use for people.
func misuseLine(host string, u keyuse.Use) string {
	when := u.First.UTC().Format(time.DateTime) + " UTC"
	if u.Count > 1 {
		when += fmt.Sprintf(", and %d times until %s", u.Count, u.Last.UTC().Format(time.DateTime))
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%s: %s was asked for %s: %s", when, host, u.What(), u.Text)), " ")
}
