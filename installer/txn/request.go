// Package txn runs one host's steps on that host: it keeps the request and the journal
// of every transaction in files, runs the steps in order, and goes on after a cut at any
// point to the same end. It runs in a systemd unit of its own, so that nothing depends
// on whoever started it. The journal is evidence of what was done; what the host is, only
// a step's inspection says, so every execution inspects every step first. What the steps
// are is for installer/plan to say, and how one changes a host for installer/step.
package txn

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// Schema marks a Request.
const Schema = "valtctl/txn/v1"

// Policy says what becomes of a step that would disrupt what the host serves.
type Policy string

// The policies. The zero value is Defer, the careful one.
const (
	Defer Policy = "defer" // it is left, told, and everything that needs it is skipped
	Allow Policy = "allow" // it is done: the host does not serve yet
)

// Request is what a transaction is to do. It holds names of secrets, never secrets.
type Request struct {
	Schema     string   `json:"schema"`
	Site       string   `json:"site"`
	Host       string   `json:"host"`
	Roles      []string `json:"roles"`
	Release    string   `json:"release"`
	PlanDigest string   `json:"plan_digest"`
	RunID      string   `json:"run_id"` // the controller's run, of which this is one host's part
	Who        string   `json:"who"`    // who ran it, as the controller knows them
	Policy     Policy   `json:"policy"`
	// Fence is the token of the site's lease that the run holds.
	Fence int64 `json:"fence,omitempty"`
	// Stage says that only the fetch half is wanted, ahead of time: the host is not
	// brought to the release.
	Stage bool `json:"stage,omitempty"`
	// Partial says that the steps are not all that a release wants: the host is not brought
	// to it.
	Partial bool `json:"partial,omitempty"`
	// ReplacedBy is the host that takes this one's place: confirmed, this host says so of itself,
	// until it is brought to a release again. Only with Partial.
	ReplacedBy string `json:"replaced_by,omitempty"`
	// Yields says that whoever comes next may call it off, also in the middle of a step, which ends then:
	// it is about a gate, and changes nothing else. Its steps put right what they began (step.Leaver).
	Yields bool `json:"yields,omitempty"`
	// Confirm is how long the switch waits to be confirmed before the host undoes it, a
	// Go duration. With it the steps keep what their undoing needs, and a step that fails
	// undoes them too. Empty: there is no way back.
	Confirm string `json:"confirm,omitempty"`
	// ApplyWithin is how long the apply half may take in all, a Go duration; then it is taken
	// back, or fails. Empty: applyWithin.
	ApplyWithin string `json:"apply_within,omitempty"`
	// Before is when the apply half may begin at the latest, by the host's clock: what was still
	// fetching then is called off. Zero: whenever everything is fetched.
	Before time.Time `json:"before,omitzero"`
	// Key is the controller's own name for this request. A second request of the same key is
	// the same transaction, so that a controller whose request or whose answer was lost on the
	// way may simply ask again.
	Key     string      `json:"key,omitempty"`
	Steps   []step.Spec `json:"steps"`
	Secrets []string    `json:"secrets,omitempty"` // filled by Create
}

// kindOf is the kind of a step; empty for an id that no step has.
func (r Request) kindOf(id string) step.KindName {
	for _, s := range r.Steps {
		if s.ID == id {
			return s.Kind
		}
	}
	return ""
}

// named is a record with the kind of its step. Journals written before they named kinds
// leave it to the request.
func (r Request) named(rec journal.Record) journal.Record {
	if rec.StepKind == "" {
		rec.StepKind = r.kindOf(rec.Step)
	}
	return rec
}

// mayBeCalledOff says that it ends early where it is told to.
func (r Request) mayBeCalledOff() bool { return r.Confirm != "" || r.Stage || r.Yields }

// validate reports everything that is wrong with a request, before anything is written.
func (r Request) validate(kinds step.Registry) error {
	var all []error
	add := func(object, format string, args ...any) {
		all = append(all, &problem.Error{Kind: problem.Input, Doing: "checking the transaction for " + r.Host, Object: object, Err: fmt.Errorf(format, args...)})
	}
	if r.Schema != Schema {
		add("schema", "it is %q, and this valtctl understands %q", r.Schema, Schema)
	}
	if r.Policy != Defer && r.Policy != Allow {
		add("policy", "it is %q, not %q or %q", r.Policy, Defer, Allow)
	}
	if len(r.Steps) == 0 {
		add("steps", "there are none")
	}
	if within, err := time.ParseDuration(r.Confirm); r.Confirm != "" && (err != nil || within <= 0) {
		add("confirm", "%q is no time to wait", r.Confirm)
	}
	if within, err := time.ParseDuration(r.ApplyWithin); r.ApplyWithin != "" && (err != nil || within <= 0) {
		add("apply_within", "%q is no time", r.ApplyWithin)
	}
	if r.ReplacedBy != "" && !r.Partial {
		add("replaced_by", "a host that is brought to a release is not replaced")
	}
	if r.Stage && r.Confirm != "" {
		add("stage", "what is only fetched has nothing to confirm")
	}
	if r.Yields && r.Confirm != "" {
		add("yields", "what can be taken back is not called off in the middle of a step")
	}
	halves := map[string]step.Half{}
	for _, s := range r.Steps {
		if r.Stage && s.Half != step.Fetch {
			add(s.ID, "it is not of the fetch half, and only that is wanted")
		}
		for _, err := range checkSpec(s, halves) {
			add(s.ID, "%w", err)
		}
		if _, err := kinds.Make(s); err != nil {
			add(s.ID, "%w", err)
		}
		halves[s.ID] = s.Half
	}
	return errors.Join(all...)
}

// checkSpec checks one step against those before it.
func checkSpec(s step.Spec, before map[string]step.Half) []error {
	var all []error
	if s.ID == "" {
		all = append(all, errors.New("a step has no id"))
	}
	if _, twice := before[s.ID]; twice {
		all = append(all, errors.New("two steps have this id"))
	}
	if s.Half != step.Fetch && s.Half != step.Apply {
		all = append(all, fmt.Errorf("its half is %q, not %q or %q", s.Half, step.Fetch, step.Apply))
	}
	for _, need := range s.Needs {
		half, known := before[need]
		switch {
		case !known:
			all = append(all, fmt.Errorf("it needs %q, which no step before it is", need))
		case half == step.Apply && s.Half == step.Fetch:
			all = append(all, fmt.Errorf("it fetches, but needs %q, which runs only after everything is fetched", need))
		}
	}
	return all
}

// checkSecretName refuses names that make no file.
func checkSecretName(name string) error {
	if name == "" || name == "." || name == ".." || len(url.PathEscape(name)) > 200 {
		return &problem.Error{Kind: problem.Input, Doing: "keeping the secrets of a run", Err: fmt.Errorf("%q is no name for one", name)}
	}
	return nil
}
