package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
)

func (r *clockRun) missed(d Decision) {
	r.state.Missed = d.Window.Open
	next := "no other one follows"
	if open, ok := r.windows.Next(r.Clock()); ok {
		next = "the next one opens on " + When(r.windows, open)
	}
	r.notice("missed", true, "a maintenance window was missed",
		fmt.Sprintf("The maintenance window that opened on %s closed on %s, and nothing looked at the clock meanwhile: the server that\n"+
			"runs the schedule was off, or its timer was stopped. Nothing was changed; %s.\n\n"+
			"valtctl schedule show tells more.\n", When(r.windows, d.Window.Open), When(r.windows, d.Window.Close), next), nil)
}

// ahead is what a look ahead came to.
type ahead struct {
	found   []string          // what will not work
	wanted  string            // the release that is coming; empty: none
	offline []updater.Offline // whose streams VALT will lose then
}

// mails says once for each release which mails of VALT's own it brings.
func (r *clockRun) mails(a ahead, opens string) string {
	text := updater.OfflineMails(a.offline, "in the maintenance window that opens on "+opens+", while each is drained and changed")
	if text == "" || a.wanted == "" || a.wanted == r.state.Announced {
		return ""
	}
	return "\n" + text + ".\n"
}

// noticeAhead tells what will not work, that what did not does again, and once which release
// is coming.
func (r *clockRun) noticeAhead(d Decision, a ahead, report *check.Report) {
	opens := When(r.windows, d.Window.Open)
	before := len(r.state.Found)
	found, wanted := a.found, a.wanted
	r.state.Found = found
	switch {
	case len(found) > 0:
		r.notice("look-ahead", true, "the next update will not work as things are",
			fmt.Sprintf("The next maintenance window opens on %s. Looking ahead found what will not work then:\n\n%s\n"+
				"Nothing was changed. It is tried again in each night before the window.\n", opens, bullets(found)), report)
	case before > 0:
		r.notice("look-ahead", false, "what would have stopped the next update works again",
			fmt.Sprintf("Everything that the update on %s needs works.\n%s", opens, r.mails(a, opens)), report)
	case wanted != "" && wanted != r.state.Announced:
		r.notice("look-ahead", false, "release "+wanted+" is coming",
			fmt.Sprintf("Release %s will be rolled over the site in the maintenance window that opens on %s. Everything that it needs works.\n%s\n"+
				"To hold it back: valtctl schedule pause --reason WHY\n", wanted, opens, r.mails(a, opens)), report)
	}
	if len(found) == 0 && wanted != "" {
		r.state.Announced = wanted
	}
}

// tooOften is how many windows in a row a host may be skipped before a person must see to it.
const tooOften = 3

// summary is a rollout in a line, and whether nobody has to do anything.
func (r *clockRun) summary(report *updater.Report, err error) (string, bool) {
	switch {
	case report == nil && err == nil:
		return "every host is as it should be", true
	case report == nil:
		return "what the rollout came to is not known", false
	case err == nil && report.Halted == "":
		return "the site has " + report.To, true
	case r.state.Halted == report.To:
		return "the rollout to " + report.To + " was halted", false
	}
	return fmt.Sprintf("the rollout to %s is not complete: %d of %d hosts have it", report.To,
		report.Count(updater.Updated)+report.Count(updater.Unchanged), len(report.Hosts)), false
}

func (r *clockRun) updateText(report *updater.Report, err error) string {
	var b strings.Builder
	if report != nil {
		fmt.Fprintf(&b, "%s of %s from %s to %s, run %s.\n\n", report.Kind, report.Site, report.From, report.To, report.Run)
		for _, h := range report.Hosts {
			fmt.Fprintf(&b, "%-12s %s", h.Host, h.Outcome)
			if h.Reason != "" {
				fmt.Fprintf(&b, ": %s", plain.Line(h.Reason))
			}
			b.WriteString("\n")
			if n := r.state.Skipped[h.Host]; n >= tooOften {
				fmt.Fprintf(&b, "%-12s it was skipped in %d windows in a row: a person must find it a quiet time, or interrupt what it records:\n"+
					"%-12s valtctl update --host %s --interrupt-recordings\n", "", n, "", h.Host)
			}
		}
		if report.Halted != "" {
			fmt.Fprintf(&b, "\nHalted: %s\n", plain.Line(report.Halted))
		}
		if r.state.Halted == report.To {
			b.WriteString("\nIt is not begun again by itself. A newer release is; this one after: valtctl schedule enable\n")
		}
	}
	if lines := problemLines(err); len(lines) > 0 {
		fmt.Fprintf(&b, "\n%s", bullets(lines))
	}
	return b.String()
}

// notice puts a notice on the list of those to be sent.
func (r *clockRun) notice(kind string, problem bool, subject, text string, report any) {
	n := Notice{Kind: kind, Site: r.Site.ID, Subject: plain.Line("VALT " + r.Site.ID + ": " + subject), Text: plain.Text(text), Time: r.Clock(), Problem: problem, Ways: ways(r.Post.To)}
	if raw, err := json.MarshalIndent(report, "", "  "); err == nil && string(raw) != "null" {
		n.Report = plain.JSON(raw)
	}
	r.result.Told = append(r.result.Told, n.Subject)
	r.state.Unsent = append(r.state.Unsent, n)
	if over := len(r.state.Unsent) - maxUnsent; over > 0 {
		r.state.Unsent = r.state.Unsent[over:]
	}
}

// sendNotices sends what is to be sent. What cannot be is kept for the next look at the clock.
func (r *clockRun) sendNotices(ctx context.Context) error {
	var errs []error
	var left []Notice
	failed := map[string]bool{}
	for _, n := range r.state.Unsent {
		errs = append(errs, r.Post.Send(ctx, &n, failed))
		if len(n.Ways) > 0 {
			left = append(left, n)
		}
	}
	r.state.Unsent = left
	return errors.Join(errs...)
}

// problemLines are an error's problems, a line each.
func problemLines(err error) []string {
	var all []string
	for _, p := range problem.All(err) {
		cause := ""
		if p.Err != nil {
			cause = p.Err.Error()
		}
		all = append(all, line(strings.TrimSpace(p.Doing+" "+p.Object), cause, p.Fix))
	}
	return all
}

func line(subject, cause, fix string) string {
	text := strings.Trim(subject+": "+cause, ": ")
	if fix != "" {
		text += ". " + fix
	}
	return strings.Join(strings.Fields(text), " ")
}

func bullets(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("- " + l + "\n")
	}
	return b.String()
}

func flat(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
