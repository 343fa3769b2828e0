package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// writeStatus is the status for people: what to do first, then who changes the site, then
// a line a server and what is to be said of it below.
func writeStatus(w io.Writer, st siteStatus) error {
	p := &printer{w: w}
	writeNext(p, st)
	writeWho(p, st)
	if p.err != nil {
		return p.err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p = &printer{w: t}
	p.printf("HOST\tRELEASE\tBEFORE\tROLES\tCONTAINERS\tSESSIONS\tSYSTEM\n")
	for _, h := range st.Hosts {
		if !h.Reached {
			p.printf("%s\tnot reached\n", h.Host)
			continue
		}
		p.printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.Host, orDash(h.Release), orDash(h.Previous), orDash(joinWords(h.Roles)),
			containersText(h.Containers), sessionsText(h), h.OS)
	}
	if p.err != nil {
		return p.err
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	p = &printer{w: w}
	for _, h := range st.Hosts {
		writeHostNotes(p, h)
	}
	for _, r := range st.Replaced {
		p.printf("%s\n", r.Text)
	}
	return p.err
}

// writeNext is what a person must do. Its causes are on standard error, as for every
// problem.
func writeNext(p *printer, st siteStatus) {
	switch held := st.Lease != nil && st.Lease.Run != ""; {
	case len(st.Next) == 0 && held:
		p.printf("next: wait for %s, who changes the site; if that run never ends: valtctl lock break --reason WHY\n\n", st.Lease.Who)
		return
	case len(st.Next) == 0:
		p.printf("nothing to do\n\n")
		return
	}
	seen := map[string]bool{}
	for _, n := range st.Next {
		line := firstLine(n.Cause)
		if n.Object != "" {
			line = n.Object + ": " + line
		}
		if n.Fix != "" {
			line += "; " + n.Fix
		}
		if !seen[line] {
			p.printf("next: %s\n", line)
		}
		seen[line] = true
	}
	p.printf("\n")
}

func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}

// writeWho is who changes the site now, and what is not over.
func writeWho(p *printer, st siteStatus) {
	lines := 0
	say := func(format string, args ...any) {
		p.printf(format, args...)
		lines++
	}
	if l := st.Lease; l != nil && l.Run != "" {
		say("%s changes the site with run %s\n", l.Who, l.Run)
	} else if l != nil && l.Broken != "" {
		say("the lease was broken: %s\n", l.Broken)
	}
	if r := st.Rollout; r != nil {
		say("%s %s → %s, begun by %s: %s of %s done\n", r.Kind, orDash(r.From), r.To, r.Who, fmt.Sprint(len(r.Done)), count(rolloutHosts(st), "host"))
	}
	if lines > 0 {
		p.printf("\n")
	}
}

func rolloutHosts(st siteStatus) int {
	if n := len(st.Rollout.Hosts); n > 0 {
		return n
	}
	return len(st.Hosts)
}

// writeHostNotes is what there is to say of a host beside its line.
func writeHostNotes(p *printer, h hostStatus) {
	if h.At != "" {
		p.printf("%s: %s\n", h.Host, h.At)
	}
	if h.Reboot {
		p.printf("%s: a reboot is pending%s\n", h.Host, inBrackets(h.RebootPackages))
	}
	writeKeyUses(p, h)
	if d := h.Drift; d != nil {
		p.printf("%s: %s\n", h.Host, driftText(d))
		for _, title := range d.Differ {
			p.printf("  %s\n", title)
		}
	}
}

// keyUsesShown is how many uses of the schedule's key are told of a host: the rest is in the JSON.
const keyUsesShown = 5

// writeKeyUses is what was done and tried with the schedule's key, newest first.
func writeKeyUses(p *printer, h hostStatus) {
	for i, u := range h.KeyUses {
		if i == keyUsesShown {
			p.printf("%s: and %s before with that key; all of it with: -o json\n", h.Host, count(len(h.KeyUses)-i, "use"))
			return
		}
		came := "done"
		if u.Refused != "" {
			came = "refused: " + u.Text
		}
		if u.Count > 1 {
			came = fmt.Sprintf("%s (%d times since %s)", came, u.Count, u.First.UTC().Format(time.DateTime))
		}
		p.printf("%s: %s UTC, %s: %s: %s\n", h.Host, u.Last.UTC().Format(time.DateTime), u.Who, u.What(), came)
	}
}

func driftText(d *driftStatus) string {
	switch {
	case d.Error != "":
		return "not all of it could be compared: " + firstLine(d.Error)
	case len(d.Differ) == 0:
		return fmt.Sprintf("no drift, %s compared", count(d.Steps, "step"))
	}
	return fmt.Sprintf("drift: %d of %s would change something", len(d.Differ), count(d.Steps, "step"))
}

func inBrackets(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return " (" + joinWords(words) + ")"
}

func sessionsText(h hostStatus) string {
	if h.GateClosed {
		return "kept out"
	}
	return "let in"
}

func containersText(all []containerStatus) string {
	running := 0
	for _, c := range all {
		if c.State == "running" && c.Health != "unhealthy" {
			running++
		}
	}
	return fmt.Sprintf("%d of %d serve", running, len(all))
}
