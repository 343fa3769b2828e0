package updater_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"encoding/json"
	"os"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
)

// judgeReport wants a command's report to name every host, and to say what it is now.
func (w *world) judgeReport(command string, o updater.Options, before map[string]string, r *updater.Report, err error) {
	if r == nil {
		return
	}
	hosts, _ := o.Chosen()
	for _, h := range hosts {
		i := slices.IndexFunc(r.Hosts, func(one updater.HostRecord) bool { return one.Host == h.Name })
		if i < 0 {
			if !strings.HasPrefix(command, "resume") && command != "abort" { // which may be about fewer
				w.fail("%s: the report does not name %s", command, h.Name)
			}
			continue
		}
		w.judgeHost(command, before[h.Name], r.To, r.Hosts[i])
	}
	if all := r.Count(updater.Updated) + r.Count(updater.Unchanged); command == "update" && w.onlyLinks() && all < len(r.Hosts) {
		w.fail("%s: a link was lost, and %d of %d hosts are not as they should be: %v", command, len(r.Hosts)-all, len(r.Hosts), err)
	}
	if all := r.Count(updater.Updated) + r.Count(updater.Unchanged); err == nil && all < len(r.Hosts) && command != "abort" && command != "schedule" { // which tells people, and its timer nothing
		w.fail("%s: it went well, and only %d of %d hosts are as they should be", command, all, len(r.Hosts))
	}
}

// judgeHost compares what a report says of a host with what it is.
func (w *world) judgeHost(command, before, to string, r updater.HostRecord) {
	s := w.hosts[r.Host]
	now := s.release()
	good := r.Outcome == updater.Updated || r.Outcome == updater.Unchanged
	if r.Outcome == "" || !good && r.Reason == "" {
		w.fail("%s: %s is %q without a reason", command, r.Host, r.Outcome)
	}
	if s.isHurt() || w.happens(another) {
		return // it was changed by others meanwhile
	}
	if r.Outcome != updater.Running && r.Transaction != "" && s.unfinished() {
		w.fail("%s: %s is told as %s (%s), and is at work", command, r.Host, r.Outcome, r.Reason)
	}
	switch r.Outcome {
	case updater.Updated, updater.Unchanged:
		if s.isIll() {
			w.fail("%s: %s is told as %s, and does not serve", command, r.Host, r.Outcome)
		}
		if now != to {
			w.fail("%s: %s is told as %s to %s, and has %s", command, r.Host, r.Outcome, to, now)
		}
	case updater.RolledBack, updater.Skipped:
		if now != before && now != r.From {
			w.fail("%s: %s is told as %s, and has %s instead of %s", command, r.Host, r.Outcome, now, before)
		}
	}
}

// onlyLinks says that nothing but a single loss on the way befalls the site, which is nobody's fault.
func (w *world) onlyLinks() bool {
	return len(w.story.incidents) == 1 && !slices.ContainsFunc(w.story.incidents, func(i incident) bool { return i.What != requestLost && i.What != answerLost })
}

// judge wants the site to be as it was promised, once all trouble is over.
func (w *world) judge() {
	c, ctx := w.by("judge")
	defer c.kill()
	st, err := updater.Status(ctx, c.options(), false)
	if err != nil {
		w.fail("what the site is cannot be told: %v", err)
		return
	}
	needs := problem.All(errors.Join(asErrors(st.Needs())...))
	told := func(host, what string) bool {
		return slices.ContainsFunc(needs, func(p *problem.Error) bool {
			return (p.Object == host || host == "") && strings.Contains(p.Error(), what)
		})
	}
	bad := false
	w.each(func(s *server) { bad = w.judgeServer(s, told) || bad })
	if st.Lease == nil || st.Lease.Run != "" {
		w.fail("the lease is still held: %+v", st.Lease)
	}
	if st.Intent != nil && !bad {
		w.fail("a rollout is still there: %+v", st.Intent)
	}
	if a, b, c := w.hosts["app1"].release(), w.hosts["media1"].release(), w.hosts["media2"].release(); !bad && (a != b || b != c) && !told("", "different releases") && !told("", "not installed") {
		w.fail("nobody is told that the hosts have %s, %s and %s", a, b, c)
	}
}

// judgeServer wants a host to be old or new, or to tell what is amiss; and says whether something
// is.
func (w *world) judgeServer(s *server, told func(host, what string) bool) (bad bool) {
	all := s.transactions()
	now := txn.Current(all)
	for _, t := range all {
		if !t.State.Finished() {
			w.fail("transaction %s of %s is %s still", t.ID, s.name, t.State)
		}
	}
	quarantined := now != nil && (now.State == txn.StateQuarantined || now.State == txn.StateDamaged)
	if quarantined && !told(s.name, "quarantined") {
		w.fail("%s is in quarantine, and nobody is told", s.name)
	}
	if s.isHurt() && s.release() == "" && !told(s.name, "") {
		// an engine that has nothing tells nothing of it
		bad = true
	}
	if !quarantined && !s.isHurt() {
		w.judgeWhole(s)
	}
	w.judgeGate(s, quarantined, told)
	w.judgeLeft(s, all, quarantined)
	return bad || quarantined || s.isHurt()
}

// judgeWhole wants all that a host has to be of one release, and the host to say which.
func (w *world) judgeWhole(s *server) {
	release := s.release()
	s.mu.Lock()
	for title, value := range s.has {
		for _, other := range []string{oldRelease, newRelease} {
			if other != release && strings.Contains(value, other) && !strings.HasPrefix(title, "download ") {
				defer w.fail("%s has %s in release %s, and serves %s", s.name, title, other, release)
			}
		}
	}
	s.mu.Unlock()
	var is facts.Installed
	text, err := os.ReadFile(filepath.Join(s.Root, "/var/lib/valtctl/host.json"))
	if err == nil {
		err = json.Unmarshal(text, &is)
	}
	if err != nil || is.Release != release {
		w.fail("%s serves %q, and says that it has %q (%v)", s.name, release, is.Release, err)
	}
}

// judgeGate wants a host's gate to be closed where a person has closed it, or it is in quarantine,
// and open otherwise.
func (w *world) judgeGate(s *server, quarantined bool, told func(host, what string) bool) {
	closed := s.gateClosed()
	if files := s.exists(facts.GateRules); files != closed {
		w.fail("the gate of %s: the kernel's rules are there: %v, its file: %v", s.name, closed, files)
	}
	switch word := w.drained[s.name]; {
	case quarantined, word == either:
	case closed && word != closedByHand:
		w.fail("the gate of %s is closed, and nobody closed it", s.name)
	case !closed && word == closedByHand:
		w.fail("the gate of %s is open, and a person had closed it", s.name)
	}
	if closed && !quarantined && !told(s.name, "its gate is closed") {
		w.fail("the gate of %s is closed, and nobody is told", s.name)
	}
}

// judgeLeft wants nothing to be done twice, and nothing to be left of what is over.
func (w *world) judgeLeft(s *server, all []txn.Summary, quarantined bool) {
	begun := map[string]int{}
	for _, t := range all {
		if !t.Stage {
			begun[t.RunID+" to "+t.Release]++
		}
	}
	for what, n := range begun {
		if n > 1 {
			w.fail("%s began %s %d times", s.name, what, n)
		}
	}
	left := []string{"/run/valtctl/txn/*", "/run/valtctl/ask*", "/var/lib/valtctl/txn/.new-*", "/etc/systemd/system/valtctl-resume.*"}
	if !quarantined {
		left = append(left, "/var/lib/valtctl/rollback/2*")
	}
	for _, pattern := range left {
		if found, err := filepath.Glob(filepath.Join(s.Root, pattern)); err != nil || len(found) > 0 {
			w.fail("%s is left on %s (%v)", strings.Join(found, ", "), s.name, err)
		}
	}
}
