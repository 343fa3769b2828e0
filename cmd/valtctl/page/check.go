package page

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/site"
)

// checked is the body of a check's report.
type checked struct {
	Verdict  string
	Status   check.Status
	Counts   []statusCount
	Listened []string
	Findings []findingList
	Picture  *picture
	Topics   []topicTable
}

type statusCount struct {
	Status check.Status
	N      int
}

// findingList is a section of findings of like weight.
type findingList struct {
	ID, Title, Intro string
	Findings         []finding
}

// finding is results with the same status and cause.
type finding struct {
	Status     check.Status
	Title      string
	Cause, Fix string    // Fix is empty where each subject has its own
	Subjects   []subject // where there are several
	Evidence   []string
}

type subject struct{ Name, Fix string }

type topicTable struct {
	ID, Title string
	Until     bool // some of its results end at a time
	Results   []check.Result
}

// Check writes the report of a check: what fails and what to do about it first, then the
// site as a picture, then every result.
func Check(w io.Writer, r *check.Report, s *site.Site) error {
	body := checked{Counts: counts(r), Listened: r.Listened, Picture: draw(s, r.Results), Topics: topics(r)}
	body.Verdict, body.Status = verdict(r)
	body.Findings = findingLists(r.Results)
	facts := []fact{{"Checked", when(r.Time)}, {"Results", fmt.Sprint(len(r.Results))}}
	if r.Release != "" {
		facts = append(facts, fact{"Release", r.Release})
	}
	return write(w, "check.html", frame{Kind: "Check report", Site: r.Site, Facts: facts, Jumps: body.jumps(), Body: body})
}

func (c checked) jumps() []jump {
	var all []jump
	for _, f := range c.Findings {
		all = append(all, jump{f.ID, f.Title})
	}
	if c.Picture != nil {
		all = append(all, jump{"picture", "The site as a picture"})
	}
	for _, t := range c.Topics {
		all = append(all, jump{t.ID, t.Title})
	}
	return all
}

// verdict is the headline and its weight. What is not known outranks what will be trouble:
// nobody can say of a server that was not asked that nothing fails there.
func verdict(r *check.Report) (string, check.Status) {
	text, status := verdictOf(r)
	if r.Servers > 0 {
		text += fmt.Sprintf(" %d of %d servers were asked.", r.Servers-len(r.Unreached), r.Servers)
	}
	return text, status
}

func verdictOf(r *check.Report) (string, check.Status) {
	switch fails := r.Count(check.Fail); {
	case fails == 1:
		return "The site is not ready: one thing fails.", check.Fail
	case fails > 0:
		return fmt.Sprintf("The site is not ready: %d things fail.", fails), check.Fail
	case len(r.Unreached) > 0:
		return "Whether the site is ready is not known: " + strings.Join(r.Unreached, ", ") + " could not be reached.", check.Unknown
	case r.Count(check.Unknown) > 0:
		return "Nothing that was asked fails; some things could not be asked.", check.Unknown
	case r.Count(check.Warn) > 0:
		return "Nothing fails; some things will be trouble.", check.Warn
	}
	return "Everything that was asked is as it must be.", check.Pass
}

func counts(r *check.Report) []statusCount {
	var all []statusCount
	for _, s := range []check.Status{check.Fail, check.Warn, check.Unknown, check.Pass} {
		all = append(all, statusCount{s, r.Count(s)})
	}
	return all
}

func findingLists(results []check.Result) []findingList {
	lists := []findingList{
		{ID: "fails", Title: "What fails"},
		{ID: "warnings", Title: "What will be trouble"},
		{ID: "unknown", Title: "What could not be asked", Intro: "These are neither right nor wrong: nothing could tell."},
	}
	for i, status := range []check.Status{check.Fail, check.Warn, check.Unknown} {
		lists[i].Findings = findings(results, status)
	}
	return slices.DeleteFunc(lists, func(l findingList) bool { return len(l.Findings) == 0 })
}

// findings puts results together that have one cause.
func findings(results []check.Result, status check.Status) []finding {
	var all []finding
	for _, r := range results {
		if r.Status != status {
			continue
		}
		i := slices.IndexFunc(all, func(f finding) bool { return f.Cause == r.Cause })
		if i < 0 {
			i = len(all)
			all = append(all, finding{Status: status, Cause: r.Cause, Fix: r.Fix})
		}
		all[i].Subjects = append(all[i].Subjects, subject{r.Subject, r.Fix})
		for _, line := range r.Evidence {
			if !slices.Contains(all[i].Evidence, line) {
				all[i].Evidence = append(all[i].Evidence, line)
			}
		}
	}
	for i := range all {
		all[i].title()
	}
	return all
}

// title names a finding after its one subject or their number. What they have in common
// is not said of each.
func (f *finding) title() {
	if len(f.Subjects) == 1 {
		f.Title, f.Subjects = f.Subjects[0].Name, nil
		return
	}
	f.Title = fmt.Sprintf("%d of the same cause", len(f.Subjects))
	if slices.ContainsFunc(f.Subjects, func(s subject) bool { return s.Fix != f.Fix }) {
		f.Fix = ""
		return
	}
	for i := range f.Subjects {
		f.Subjects[i].Fix = ""
	}
}

// topics are the tables of all results, the worst first.
func topics(r *check.Report) []topicTable {
	titles := map[check.Topic]string{check.Network: "Network", check.Hosts: "Hosts", check.Expiry: "What will expire", check.Update: "What an update needs"}
	var all []topicTable
	for _, topic := range []check.Topic{check.Network, check.Hosts, check.Expiry, check.Update} {
		t := topicTable{ID: "topic-" + string(topic), Title: titles[topic]}
		for _, one := range r.Results {
			if one.Topic == topic {
				t.Results = append(t.Results, one)
				t.Until = t.Until || one.Until != nil
			}
		}
		if len(t.Results) == 0 {
			continue
		}
		slices.SortStableFunc(t.Results, func(a, b check.Result) int { return severity(a.Status) - severity(b.Status) })
		all = append(all, t)
	}
	return all
}

// seen is what a table says of a result: its cause, or what was seen.
func seen(r check.Result) string {
	if r.Cause != "" {
		return r.Cause
	}
	return strings.Join(r.Evidence, "; ")
}
