// Package updater rolls a release over a site: which hosts go together and in what order,
// when to stop, and what to tell. It decides; installer does the work on the hosts, and
// package drain's steps keep sessions out meanwhile. Its arithmetic is pure, so that a
// simulated fleet can be put through it.
package updater

import (
	"context"
	"time"

	"ipivs.com/valtctl/installer/site"
)

// Host is one host as a rollout sees it.
type Host struct {
	Name  string      `json:"name"`
	Roles []site.Role `json:"roles"`
	// Serves says that it served when the rollout began.
	Serves bool `json:"serves"`
}

// hasEngine says whether the host counts for the floor.
func (h Host) hasEngine() bool {
	return site.Is(h.Roles, func(r site.RoleSpec) bool { return r.Engine })
}

// ownTurn says whether the host goes before or after the waves.
func (h Host) ownTurn() bool {
	return site.Is(h.Roles, func(r site.RoleSpec) bool { return r.OwnTurn })
}

// Policy is the site's updates section as far as a rollout follows it.
type Policy struct {
	Canary          string // empty: the first media host, else the first host
	Wave            site.Wave
	MaxFailures     int
	MinMediaServing int
}

// HostOutcome is what a rollout came to on one host.
type HostOutcome string

// The outcomes.
const (
	Updated     HostOutcome = "updated"
	Unchanged   HostOutcome = "unchanged" // nothing differed
	Skipped     HostOutcome = "skipped"   // recordings went on until the deadline
	RolledBack  HostOutcome = "rolled-back"
	Quarantined HostOutcome = "quarantined" // it could not be taken back; valtctl repair
	Failed      HostOutcome = "failed"      // and nothing was changed, or it is not known
	Running     HostOutcome = "running"     // the host goes on by itself; valtctl resume
	NotStarted  HostOutcome = "not-started"
)

// HostRecord is one host's part of a rollout.
type HostRecord struct {
	Host        string        `json:"host"`
	Outcome     HostOutcome   `json:"outcome"`
	Reason      string        `json:"reason,omitempty"` // always, but for updated and unchanged
	Transaction string        `json:"transaction,omitempty"`
	From        string        `json:"from,omitempty"` // releases
	To          string        `json:"to,omitempty"`
	Wave        int           `json:"wave"` // from 1, the canary's; 0: not started
	Started     time.Time     `json:"started,omitzero"`
	Ended       time.Time     `json:"ended,omitzero"`
	Downtime    time.Duration `json:"downtime_ns"` // from the first container's stop to health
	Gates       []Gate        `json:"gates,omitempty"`

	begun bool // the host was told to begin its change
}

// Gate is one question that had to be answered before the rollout went on.
type Gate struct {
	Name   string    `json:"name"` // "drain", "health", "compare", "soak"
	Passed bool      `json:"passed"`
	Text   string    `json:"text"`
	Time   time.Time `json:"time"`
}

// Driver does on hosts what a rollout decides. Stage fetches and changes nothing that
// serves. Update drains, switches, looks, confirms and soaks one host, and where that
// fails has taken it back as far as it could; the result says what the host is now. Both
// are called for several hosts at once.
type Driver interface {
	Stage(ctx context.Context, host string) error
	Update(ctx context.Context, host string) HostRecord
}
