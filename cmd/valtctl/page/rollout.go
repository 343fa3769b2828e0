package page

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/updater"
)

// rolled is the body of a rollout's report.
type rolled struct {
	Verdict string
	Status  check.Status
	Halted  string
	Hosts   []rolledHost
	Images  [][2]string
	Notes   []updater.Note
	Chain   *updater.Chain
}

type rolledHost struct {
	updater.HostRecord
	Status check.Status
	Took   string
	Away   string
}

// Rollout writes the report of a rollout: what it came to, every host with the questions
// that were asked of it, and what it was made of.
func Rollout(w io.Writer, r *updater.Report) error {
	body := rolled{Halted: r.Halted, Notes: r.Notes, Chain: r.Chain}
	for _, h := range r.Hosts {
		body.Hosts = append(body.Hosts, rolledHost{h, statusOf(h.Outcome), span(h.Ended.Sub(h.Started)), span(h.Downtime)})
	}
	for _, name := range sortedKeys(r.Images) {
		body.Images = append(body.Images, [2]string{name, r.Images[name]})
	}
	body.Verdict, body.Status = rolledVerdict(r)
	facts := []fact{{"Run", r.Run}, {"By", r.Who}, {"From", r.From}, {"To", r.To}, {"Began", when(r.Started)}, {"Plan", r.PlanDigest}}
	jumps := []jump{{"hosts", "The servers"}, {"gates", "What was asked"}, {"images", "What it was made of"}}
	return write(w, "rollout.html", frame{Kind: "Report of the " + string(r.Kind), Site: r.Site, Facts: facts, Jumps: jumps, Body: body})
}

func statusOf(o updater.HostOutcome) check.Status {
	switch o {
	case updater.Updated, updater.Unchanged:
		return check.Pass
	case updater.RolledBack, updater.Quarantined, updater.Failed:
		return check.Fail
	case updater.Skipped, updater.NotStarted:
		return check.Warn
	}
	return check.Unknown
}

func rolledVerdict(r *updater.Report) (string, check.Status) {
	good := r.Count(updater.Updated) + r.Count(updater.Unchanged)
	switch {
	case r.Halted != "":
		return fmt.Sprintf("It was halted: %d of %s have the release.", good, count(len(r.Hosts), "server")), check.Fail
	case good < len(r.Hosts):
		return fmt.Sprintf("%d of %s have the release.", good, count(len(r.Hosts), "server")), check.Warn
	}
	return "Every server has the release.", check.Pass
}

func span(d time.Duration) string {
	if d <= 0 {
		return "–"
	}
	return d.Round(100 * time.Millisecond).String()
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
