package updater

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// SiteStatus is what a site is now.
type SiteStatus struct {
	Site   string
	Hosts  []status.Host
	Lease  *status.Lease // nil: the host that keeps it gave no answer
	Intent *Intent       // of a rollout that is not over; nil: there is none
	Drift  []HostDrift   // where it was asked for
	// Expiring is the metadata of releases that ends soon, or has ended, as far as the hosts
	// have seen it.
	Expiring []release.Expiry
}

// HostDrift is how a host differs from what its own release and the site file want of it.
type HostDrift struct {
	Host    string   `json:"host"`
	Release string   `json:"release"`
	Steps   int      `json:"steps"`            // that were compared
	Differ  []string `json:"differ,omitempty"` // titles of those that would change something
	Err     error    `json:"-"`                // it could not be compared, or not with all steps
}

// Status asks every host what it is, and with drift has it compare itself with the plan of
// the release that it has. A host that gives no answer is in the list with its error. The
// error is what kept everything from being asked.
func Status(ctx context.Context, o Options, drift bool) (*SiteStatus, error) {
	found, err := status.Look(ctx, o.Options)
	if found == nil {
		return nil, err
	}
	st, err := StatusOf(o.Site.ID, found, o.Now())
	if err != nil {
		return st, err
	}
	if drift {
		st.Drift, err = o.drift(ctx, found.Hosts)
		return st, err
	}
	return st, nil
}

// StatusOf is the status of a site whose hosts were asked already.
func StatusOf(site string, found *status.Site, now time.Time) (*SiteStatus, error) {
	st := &SiteStatus{Site: site, Hosts: found.Hosts, Lease: found.Lease, Expiring: expiring(found.Hosts, now)}
	if found.Lease == nil {
		return st, nil
	}
	var err error
	st.Intent, err = intentOf(found.Lease.Rollout)
	return st, err
}

// expiring is what of the newest state that any host has seen ends soon. What machines sign
// again every few days is not in it: that a site has not looked for so long is no trouble.
func expiring(hosts []status.Host, now time.Time) []release.Expiry {
	var newest release.State
	for _, h := range hosts {
		if h.Seen.Compare(newest) > 0 {
			newest = h.Seen
		}
	}
	return slices.DeleteFunc(newest.Expiring(now), func(e release.Expiry) bool { return e.Role == "timestamp" || e.Role == "snapshot" })
}

// intentOf reads what stands beside a lease; nil: nothing does.
func intentOf(raw json.RawMessage) (*Intent, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var intent Intent
	if err := json.Unmarshal(raw, &intent); err != nil {
		return nil, fmt.Errorf("reading what the rollout is about: %w", err)
	}
	return &intent, nil
}

// Attended says that a run holds the lease and looks after what is unfinished.
func (s *SiteStatus) Attended() bool { return s.Lease != nil && s.Lease.Run != "" }

// Needs lists what a person must do, most pressing first: about the site, then about each
// host.
func (s *SiteStatus) Needs() []*problem.Error {
	var all []*problem.Error
	if s.Intent != nil && s.Intent.Replace != nil && !s.Attended() {
		all = append(all, s.need("valtctl resume goes on with it, valtctl abort ends it where it is not decided yet",
			"a replacement is unfinished, and nobody is at work on it: of %s by %s, which %s began", s.Intent.From, s.Intent.To, s.Intent.Who))
	} else if s.Intent != nil && !s.Attended() {
		all = append(all, s.need("valtctl resume goes on with it, valtctl abort ends it",
			"a rollout is unfinished, and nobody is at work on it: the %s to %s that %s began", s.Intent.Kind, s.Intent.To, s.Intent.Who))
	}
	for _, h := range s.Hosts {
		all = append(all, h.Needs()...)
	}
	for _, d := range s.Drift {
		all = append(all, d.needs()...)
	}
	if len(s.Expiring) > 0 { // the first to end stands for all
		all = append(all, s.need("valtctl check expiry asks the repository anew; where it says the same, ask the vendor to sign it again", "%s", s.Expiring[0]))
	}
	if text := s.mismatch(); text != "" && s.Intent == nil && !s.Attended() {
		all = append(all, s.need("valtctl update brings them to one release", "its hosts have different releases: %s", text))
	}
	return all
}

func (s *SiteStatus) need(fix, format string, args ...any) *problem.Error {
	return &problem.Error{Kind: problem.Check, Doing: "looking at site", Object: s.Site, Err: fmt.Errorf(format, args...), Fix: fix}
}

// mismatch names which hosts have which release; empty where all have one.
func (s *SiteStatus) mismatch() string {
	by := map[string][]string{}
	for _, h := range s.Hosts {
		if h.Err == nil && h.Facts.Installed != nil {
			by[h.Facts.Installed.Release] = append(by[h.Facts.Installed.Release], h.Host)
		}
	}
	if len(by) < 2 {
		return ""
	}
	var words []string
	for release, hosts := range by {
		words = append(words, release+" on "+strings.Join(hosts, ", "))
	}
	slices.Sort(words)
	return strings.Join(words, "; ")
}

func (d HostDrift) needs() []*problem.Error {
	all := problem.All(d.Err)
	if len(d.Differ) > 0 {
		all = append(all, &problem.Error{Kind: problem.Check, Doing: "comparing with release " + d.Release, Object: d.Host,
			Err: fmt.Errorf("%d of %d steps would change something: %s", len(d.Differ), d.Steps, strings.Join(d.Differ, ", ")),
			Fix: "look with: valtctl update --dry-run; apply with: valtctl update"})
	}
	return all
}

// drift compares every host that can be with the release that it has.
func (o Options) drift(ctx context.Context, hosts []status.Host) ([]HostDrift, error) {
	o.Hosts = nil
	var all []HostDrift
	for _, h := range hosts {
		if now := h.Current(); h.Err != nil || h.Facts.Installed == nil || now != nil && !now.State.Finished() {
			continue // what it needs is said already
		}
		o.Hosts = append(o.Hosts, h.Host)
		all = append(all, HostDrift{Host: h.Host, Release: h.Facts.Installed.Release})
	}
	if len(all) == 0 {
		return nil, nil
	}
	work, err := installer.Begin(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	err = compareAll(ctx, work, all)
	return all, errors.Join(err, work.Close())
}

func compareAll(ctx context.Context, work *installer.Run, all []HostDrift) error {
	if _, err := work.Releases(ctx, true); err != nil {
		return err
	}
	targets := map[string]*installer.Target{}
	for _, d := range all {
		if targets[d.Release] != nil {
			continue
		}
		t, err := work.Plan(ctx, d.Release, false)
		if err != nil {
			return err
		}
		targets[d.Release] = t
	}
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i].compare(ctx, work, targets[all[i].Release]) })
	}
	wg.Wait()
	return nil
}

func (d *HostDrift) compare(ctx context.Context, work *installer.Run, t *installer.Target) {
	plan, _ := t.Plan.Host(d.Host)
	d.Steps = len(plan.Steps)
	findings, err := work.Inspect(ctx, d.Host, t, plan.Steps)
	d.Err = err
	for i, f := range findings {
		if f.Finding.Change {
			d.Differ = append(d.Differ, plan.Steps[i].Title)
		}
	}
}
