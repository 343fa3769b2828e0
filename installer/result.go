package installer

import (
	"fmt"
	"slices"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
)

// Outcome is what a run came to on one host.
type Outcome string

// The outcomes.
const (
	Unchanged Outcome = "unchanged" // nothing differed
	Planned   Outcome = "planned"   // it would be changed, and was not: a dry run, or one that ended before
	Changed   Outcome = "changed"
	Failed    Outcome = "failed"
	Running   Outcome = "running" // the controller left; the host goes on
)

// Result is what a run did, or would do.
type Result struct {
	Run     string `json:"run"`
	Site    string `json:"site"`
	Release string `json:"release"`
	Digest  string `json:"plan_digest"`
	DryRun  bool   `json:"dry_run,omitempty"`
	// Replaced is as plan.Plan's.
	Replaced []string     `json:"replaced,omitempty"`
	Hosts    []HostResult `json:"hosts"`
}

// HostResult is one host's part.
type HostResult struct {
	Host        string       `json:"host"`
	Outcome     Outcome      `json:"outcome"`
	Transaction string       `json:"transaction,omitempty"`
	Steps       int          `json:"steps"`              // in the plan
	Changes     []StepChange `json:"changes,omitempty"`  // found to differ before anything was done
	Deferred    []StepChange `json:"deferred,omitempty"` // left for update: they would interrupt what serves
	Notes       []string     `json:"notes,omitempty"`
	Reason      string       `json:"reason,omitempty"` // why it failed
}

// StepChange is a step that differs from what is wanted.
type StepChange struct {
	ID       string          `json:"id"`
	Kind     step.KindName   `json:"kind"`
	Title    string          `json:"title"`
	Diff     string          `json:"diff,omitempty"`
	Disrupts step.Disruption `json:"disrupts,omitempty"`
}

// Differs says that some host is not as the plan wants it.
func (r *Result) Differs() bool {
	for _, h := range r.Hosts {
		if len(h.Changes) > 0 || len(h.Deferred) > 0 {
			return true
		}
	}
	return false
}

// changes says that some host would be changed.
func (r *Result) changes() bool {
	return slices.ContainsFunc(r.Hosts, func(h HostResult) bool { return len(h.Changes) > 0 })
}

// host is the part of a host that the result has. It looks at names alone: other hosts' parts
// may be written meanwhile.
func (r *Result) host(name string) *HostResult {
	for i := range r.Hosts {
		if r.Hosts[i].Host == name {
			return &r.Hosts[i]
		}
	}
	return nil
}

// conclude puts what a host's transaction came to into the result, and tells that the host
// is finished.
func (r *Result) conclude(obs event.Observer, host string, result txn.Result) error {
	res := r.host(host)
	switch result.Outcome {
	case txn.Done:
		res.Outcome = Changed
	case txn.Failed:
		res.Outcome = Failed
	default:
		res.Outcome = Running
	}
	err := result.Err()
	if err != nil {
		res.Reason = err.Error()
		err = fmt.Errorf("host %s: %w", host, err)
	}
	obs.Observe(event.Event{Kind: event.Done, Host: host, Text: string(res.Outcome)})
	return err
}
