package updater

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/repos/problem"
)

// Kind is what a rollout is for.
type Kind string

// The kinds.
const (
	KindUpdate   Kind = "update"
	KindRollback Kind = "rollback"
	KindSettings Kind = "settings" // the release stays; what the site file says changes
	KindRepair   Kind = "repair"   // of hosts in quarantine
)

// goesBack says whether a host may have packages that are newer than what it is brought to: one in
// quarantine may have stopped half-way between two releases.
func (k Kind) goesBack() bool { return k == KindRollback || k == KindRepair }

// About is what a rollout is about. It holds no secrets.
type About struct {
	Run        string            `json:"run"` // also the name of its journal
	Kind       Kind              `json:"kind"`
	Site       string            `json:"site"`
	From       string            `json:"from,omitempty"` // releases
	To         string            `json:"to"`
	Who        string            `json:"who"`
	PlanDigest string            `json:"plan_digest,omitempty"`
	Images     map[string]string `json:"images,omitempty"` // name to digest
}

// Report is what a rollout came to: who did what, with what, and how each host ended.
type Report struct {
	About
	Started time.Time    `json:"started"`
	Ended   time.Time    `json:"ended,omitzero"` // zero: it is not over, or its controller was stopped
	Halted  string       `json:"halted,omitempty"`
	Waves   [][]string   `json:"waves"`
	Hosts   []HostRecord `json:"hosts"` // in the site file's order
	Notes   []Note       `json:"notes,omitempty"`
	// Chain is what the report was read from; nil: it was not.
	Chain *Chain `json:"chain,omitempty"`
	// Earlier are the ways to releases that had to be walked through before.
	Earlier []*Report `json:"earlier,omitempty"`
}

// Note is what was seen of a host, such as its streams and its licence, before the change
// and after it.
type Note struct {
	Host string    `json:"host"`
	When When      `json:"when"`
	Text string    `json:"text"`
	Time time.Time `json:"time"`
}

// When is on which side of a change something was seen.
type When string

// The two sides.
const (
	Before When = "before"
	After  When = "after"
)

// Chain is the journal behind a report. Head is the SHA-256 of its last good line: it
// stands for every line, since each holds that of the one before it.
type Chain struct {
	Records int    `json:"records"`
	Head    string `json:"head,omitempty"`
	Torn    bool   `json:"torn,omitempty"`    // its last line was cut off while it was written
	Damaged string `json:"damaged,omitempty"` // what follows the records was changed afterwards
}

// Count is how many hosts came to an outcome.
func (r *Report) Count(o HostOutcome) int {
	n := 0
	for _, h := range r.Hosts {
		if h.Outcome == o {
			n++
		}
	}
	return n
}

// Downtime is the longest of all hosts'.
func (r *Report) Downtime() time.Duration {
	var longest time.Duration
	for _, h := range r.Hosts {
		longest = max(longest, h.Downtime)
	}
	return longest
}

// Err is what a person must be told of the outcome; nil where every host has what it
// should have. A halted rollout and a skipped host ask for exit code 4.
func (r *Report) Err() error {
	errs := r.hostErrs()
	if r.Halted != "" {
		errs = append([]error{r.halt()}, errs...)
	}
	return errors.Join(errs...)
}

// halt is the problem of a rollout that stopped before its end.
func (r *Report) halt() *problem.Error {
	return &problem.Error{Kind: problem.Halted, Doing: "rolling out to", Object: r.Site, Err: errors.New(r.Halted), Fix: r.fix()}
}

// hostErrs are the problems of hosts by themselves. Those that were not started because
// the rollout halted have none of their own.
func (r *Report) hostErrs() []error {
	var errs []error
	for _, h := range r.Hosts {
		p := &problem.Error{Kind: problem.Failed, Doing: "updating host", Object: h.Host, Err: fmt.Errorf("it is %s: %s", outcomeWord(h.Outcome), h.Reason)}
		switch h.Outcome {
		case Skipped:
			p.Kind, p.Fix = problem.Halted, "run the command again when nothing is recorded there"
		case Quarantined:
			p.Fix = "valtctl repair --host " + h.Host + " leads out of it"
		case RolledBack, Failed:
			p.Fix = "valtctl logs and valtctl history --host " + h.Host + " tell more"
		case NotStarted:
			if r.Halted != "" {
				continue
			}
			p.Kind, p.Fix = problem.Halted, "run the command again when it may be started"
		default:
			continue
		}
		errs = append(errs, p)
	}
	return errs
}

// fix is what to do about a halted rollout.
func (r *Report) fix() string {
	var running []string
	for _, h := range r.Hosts {
		if h.Outcome == Running {
			running = append(running, h.Host)
		}
	}
	if len(running) > 0 {
		return strings.Join(running, ", ") + " goes on by itself; valtctl resume goes on with the rollout"
	}
	return "valtctl report tells what each host is; the hosts that were not started are as they were"
}
