package status

import (
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

// Needs lists what a person must do about a host, most pressing first; none where it
// serves as it should, or a run is at work on it.
func (h Host) Needs() []*problem.Error {
	if h.Err != nil {
		return problem.All(h.Err)
	}
	return append(h.keyNeeds(), h.ownNeeds()...)
}

// alarmFor is how long a person is reminded of what was tried with the schedule's key.
const alarmFor = 7 * 24 * time.Hour

// keyNeeds are about what was tried with the key of unattended runs that no run of the
// schedule's asks for.
func (h Host) keyNeeds() []*problem.Error {
	if h.KeyUse != nil && h.KeyUse.Trouble != "" {
		return []*problem.Error{h.need("look at the disk; what was tried with the schedule's key is not known", "%s", h.KeyUse.Trouble)}
	}
	tried := h.KeyUse.Alarming(h.Facts.Clock.Now.Add(-alarmFor))
	if len(tried) == 0 {
		return nil
	}
	last, times := tried[0], 0
	for _, u := range tried {
		times += u.Count
	}
	return []*problem.Error{h.need("if nobody of yours tried that, the key is stolen: valtctl schedule disable",
		"%s was refused %s, last at %s UTC: %s: %s", last.Who, plural(times, "time"), last.Last.UTC().Format(time.DateTime), last.What(), last.Text)}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// ownNeeds are those about what the host is.
func (h Host) ownNeeds() []*problem.Error {
	now := h.Current()
	atWork := now != nil && !now.State.Finished()
	if atWork && h.Attended {
		return nil
	}
	all := h.txnNeeds(now)
	f := h.Facts
	if f.Installed == nil {
		return append(all, h.need("valtctl install", "VALT is not installed"))
	}
	if by := f.Installed.ReplacedBy; by != "" {
		return append(all, h.need("where the replacement was cut off: valtctl resume; else take it out of the site file's hosts",
			"%s has taken its place, with its licence and its cameras", by))
	}
	if f.Engine == nil {
		return append(all, h.need("look at it with: systemctl status docker", "the Docker engine does not answer"))
	}
	quarantined := now != nil && now.State == txn.StateQuarantined
	if f.GateClosed && !atWork && !quarantined {
		all = append(all, h.need("valtctl undrain "+h.Host, "it takes no new sessions: its gate is closed"))
	}
	if !quarantined {
		all = append(all, h.containerNeeds()...)
	}
	if f.RebootRequired {
		all = append(all, h.need("reboot it in a maintenance window", "%s", rebootWhy(f)))
	}
	return all
}

func (h Host) need(fix, format string, args ...any) *problem.Error {
	return &problem.Error{Kind: problem.Check, Doing: "looking at host", Object: h.Host, Err: fmt.Errorf(format, args...), Fix: fix}
}

// txnNeeds are about what the host is at, and about records that cannot be trusted.
func (h Host) txnNeeds(now *txn.Summary) []*problem.Error {
	var all []*problem.Error
	for _, t := range h.Transactions {
		if t.State != txn.StateDamaged && (now == nil || t.ID != now.ID) {
			continue
		}
		if t.Yields && !t.State.Finished() {
			all = append(all, h.drainNeed(t))
		} else if fix := txnFix(t, h.Host); fix != "" {
			all = append(all, h.need(fix, "transaction %s is %s", t.ID, t.State))
		}
	}
	return all
}

// drainNeed is about a drain by hand that is not over, and that nobody follows.
func (h Host) drainNeed(t txn.Summary) *problem.Error {
	gate, next := "its gate is open still", "valtctl drain "+h.Host+" drains it to its end"
	if h.Facts.GateClosed {
		gate = "its gate is closed"
	}
	if t.State == txn.StateRunning {
		next = "valtctl resume follows it"
	}
	return h.need("valtctl undrain "+h.Host+" opens it, "+next,
		"what %s began at its gate is %s and nobody follows it (transaction %s): %s", t.Who, t.State, t.ID, gate)
}

func (h Host) containerNeeds() []*problem.Error {
	var all []*problem.Error
	for _, c := range h.Facts.Engine.Containers {
		if c.State != "running" || c.Health == "unhealthy" {
			all = append(all, h.need("valtctl logs --host "+h.Host+"; then valtctl install", "container %s is %s", c.Name, containerState(c)))
		}
	}
	return all
}

// rebootWhy names those who asked for a reboot, where that is known.
func rebootWhy(f facts.Facts) string {
	const most = 4
	names := f.RebootPackages
	switch {
	case len(names) == 0:
		return "a package asked for a reboot"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more asked for a reboot", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ") + " asked for a reboot"
}

func containerState(c facts.Container) string {
	if c.State == "running" {
		return c.Health
	}
	return c.State
}

// txnFix says what to do about a transaction; nothing for one that is over.
func txnFix(t txn.Summary, host string) string {
	switch t.State {
	case txn.StateRunning:
		return "it goes on by itself; follow it with: valtctl resume"
	case txn.StateWaiting, txn.StateInterrupted:
		return "valtctl resume"
	case txn.StateUnconfirmed:
		return "valtctl resume confirms it if it serves, valtctl abort takes it back; without either it goes back by itself"
	case txn.StateQuarantined:
		return "valtctl repair --host " + host
	case txn.StateDamaged:
		return "keep its folder below /var/lib/valtctl/txn as evidence, then: valtctl install"
	}
	return ""
}
