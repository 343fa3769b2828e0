// Package check finds out whether a site can be installed and run: it tries every flow
// that the vendor's page asks for from its true source, and asks the hosts about
// themselves. It connects through what it is given, changes nothing and leaves nothing
// behind. Each check is a question with one of four answers, and each answer but pass
// has a cause and a fix. Rendering is for cmd.
package check

import (
	"time"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
)

// Status is the answer to a check.
type Status string

// The answers. Warn is for what will be trouble, and for advisory rows that do not work;
// unknown is for what could not be asked.
const (
	Pass    Status = "pass"
	Warn    Status = "warn"
	Fail    Status = "fail"
	Unknown Status = "unknown"
)

// Topic groups checks as the command line does.
type Topic string

// The topics, in the order of a report.
const (
	Network Topic = "network"
	Hosts   Topic = "hosts"
	Expiry  Topic = "expiry"
	Update  Topic = "update"
)

// Result is one check and its answer.
type Result struct {
	// ID stays from run to run, so that two reports can be compared: a flow's id, or
	// "<topic>/<host>/<check>".
	ID      string `json:"id"`
	Topic   Topic  `json:"topic"`
	Host    string `json:"host,omitempty"` // where it was asked, or whom it is about
	Subject string `json:"subject"`        // "media1 → docker.ipivs.com, tcp/443", "free space on /srv/valt"
	Status  Status `json:"status"`
	Cause   string `json:"cause,omitempty"`
	// Evidence is what was seen, a line each, without secrets.
	Evidence []string `json:"evidence,omitempty"`
	Fix      string   `json:"fix,omitempty"`
	// Until is when something ends (a certificate, support), for the topic expiry.
	Until *time.Time `json:"until,omitempty"`

	// Of flows alone.
	Flow    *network.Flow `json:"flow,omitempty"`
	Verdict probe.Verdict `json:"verdict,omitempty"`
	Lost    probe.Place   `json:"lost,omitempty"`
	Took    time.Duration `json:"took,omitempty"`
	// Offset is the far end's clock less that of the machine that asked, where it told.
	Offset *time.Duration `json:"offset,omitempty"`
	// NotAfter is the end of the certificate that the far end showed.
	NotAfter *time.Time `json:"not_after,omitempty"`
	// Elsewhere are the machines, "name:port", that the answer came from beside the flow's destination: a registry's
	// blobs may come from another name.
	Elsewhere []string `json:"elsewhere,omitempty"`
	// Untried says that whoever was to try the flow did not get to: nothing is known of it. A port
	// that nothing listens on is known well enough.
	Untried bool `json:"-"`
}

// Report is what a run of checks found.
type Report struct {
	Site     string    `json:"site"`
	Time     time.Time `json:"time"`
	Topics   []Topic   `json:"topics"`
	Release  string    `json:"release,omitempty"`  // what was checked against; empty: none could be read
	Listened []string  `json:"listened,omitempty"` // "media1: 444, 8000", where nothing did
	Results  []Result  `json:"results"`
	// Servers is how many were to be asked, and Unreached those of them that were not.
	Servers   int      `json:"servers,omitempty"`
	Unreached []string `json:"unreached,omitempty"`
	// Connecting and Probing are how long it took to reach the hosts and to try the flows.
	Connecting time.Duration `json:"connecting"`
	Probing    time.Duration `json:"probing"`
}

// Count is how many results have the status.
func (r *Report) Count(s Status) int {
	n := 0
	for _, one := range r.Results {
		if one.Status == s {
			n++
		}
	}
	return n
}

// Failed says whether the site is not as it must be, or a server of it was not asked, of which
// nobody can say that: exit code 3.
func (r *Report) Failed() bool { return r.Count(Fail) > 0 || len(r.Unreached) > 0 }
