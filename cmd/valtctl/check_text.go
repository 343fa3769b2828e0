package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/repos/plain"
)

// signs mark an answer in front of its check.
func sign(s check.Status) string {
	switch s {
	case check.Pass:
		return "ok  "
	case check.Warn:
		return "warn"
	case check.Fail:
		return "FAIL"
	}
	return "?   "
}

// writeChecks is a report for people: what does not work first, each with cause, evidence
// and fix; what could not be asked in groups; what passed as a number.
func writeChecks(w io.Writer, c checked, all bool) error {
	p := &printer{w: w}
	for _, s := range []check.Status{check.Fail, check.Warn} {
		for _, r := range c.Results {
			if r.Status == s {
				writeCheck(p, r)
			}
		}
	}
	writeUnknown(p, c.Report)
	if all {
		for _, r := range c.Results {
			if r.Status == check.Pass {
				p.printf("%s %s%s\n", sign(r.Status), r.Subject, untilText(r))
			}
		}
	}
	writeChanges(p, c)
	if n := len(c.Unreached); n > 0 {
		p.printf("%d of %s could not be reached: %s\n", n, count(c.Servers, "server"), strings.Join(c.Unreached, ", "))
	}
	p.printf("site %s: %d failed, %s, %d unknown, %d passed\n", c.Site, c.Count(check.Fail),
		count(c.Count(check.Warn), "warning"), c.Count(check.Unknown), c.Count(check.Pass))
	return p.err
}

func writeCheck(p *printer, r check.Result) {
	p.printf("%s %s%s\n", sign(r.Status), r.Subject, untilText(r))
	if r.Cause != "" {
		p.printf("     %s\n", r.Cause)
	}
	for _, e := range r.Evidence {
		p.printf("     - %s\n", e)
	}
	if r.Fix != "" {
		p.printf("     fix: %s\n", r.Fix)
	}
	p.printf("\n")
}

func untilText(r check.Result) string {
	if r.Until == nil {
		return ""
	}
	return ", until " + r.Until.UTC().Format(time.DateOnly)
}

// writeUnknown groups what has the same cause and fix: a site has dozens of flows from
// its clients, and one sentence about them is enough.
func writeUnknown(p *printer, r *check.Report) {
	type group struct{ cause, fix string }
	var order []group
	subjects := map[group][]string{}
	for _, one := range r.Results {
		if one.Status != check.Unknown {
			continue
		}
		g := group{one.Cause, one.Fix}
		if subjects[g] == nil {
			order = append(order, g)
		}
		subjects[g] = append(subjects[g], plain.Line(one.Subject))
	}
	for _, g := range order {
		p.printf("%s %s\n", sign(check.Unknown), block(strings.Join(subjects[g], "\n     ")))
		p.printf("     %s\n", g.cause)
		if g.fix != "" {
			p.printf("     to find out: %s\n", g.fix)
		}
		p.printf("\n")
	}
}

// writeChanges is what --compare adds.
func writeChanges(p *printer, c checked) {
	if len(c.Changes) == 0 {
		return
	}
	p.printf("changed since the earlier report:\n")
	for _, ch := range c.Changes {
		p.printf("%s %s: %s\n", sign(ch.Is), ch.Subject, changeText(ch))
	}
	p.printf("\n")
}

func changeText(c check.Change) string {
	words := []string{string(c.Was), string(c.Is)}
	if i := slices.Index(words, ""); i >= 0 {
		words[i] = []string{"not checked before", "no longer checked"}[i]
	}
	text := fmt.Sprintf("%s, now %s", words[0], words[1])
	if c.Cause != "" {
		text += ": " + c.Cause
	}
	return text
}
