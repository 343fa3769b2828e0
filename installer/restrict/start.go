package restrict

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
)

// What the key may begin, in numbers.
const (
	mostStages      = 12 // in a day: a look ahead fetches once, and an update once for each release on the way
	mostBegun       = 4  // to one release in one window, with those that ended before anything that serves was touched
	mostUnconfirmed = 3  // to one release in all, that went back or came to no good end since it last was there for good
)

// guardTries is how long another request of the key is waited for: one that began a transaction
// and lost its link is asked again while it is still at work.
const guardTries = 2000 // 40 seconds

// ownKey marks the requests of this key: the host puts it, and the window that it is asked in, before
// the name that the asker gives its request. So none is taken for a person's, and what was tried in
// a window is known whatever was done to the clock since.
const ownKey = "schedule-key/"

// What names that the key gives must look like.
var (
	runForm = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}$`)
	keyForm = regexp.MustCompile(`^[A-Za-z0-9]{0,64}$`)
)

// isOwn says whether a transaction was begun with the key.
func isOwn(t txn.Summary) bool { return strings.HasPrefix(t.Key, ownKey) }

// inWindow is how the names of all requests begin in the window that opened then, by the host's
// own clock: for practice, nights that are judged on different days are different windows.
func inWindow(opened time.Time) string { return ownKey + opened.UTC().Format(time.RFC3339) + "/" }

// earlier is what was begun by the request of a name; nil: nothing was.
func earlier(t *txn.Request, all []txn.Summary) *txn.Summary {
	for i, s := range all {
		if t.Key != "" && isOwn(s) && strings.HasSuffix(s.Key, "/"+t.Key) && s.Release == t.Release && s.Stage == t.Stage {
			return &all[i]
		}
	}
	return nil
}

// start has the host begin what it would do itself, with its own secrets. Requests are judged
// one at a time, so that no two of them are each the only one.
func (j *Judge) start(ctx context.Context, r agent.TxnStartRequest) (agent.TxnReply, error) {
	u := keyuse.Use{Call: keyuse.Update, Release: r.Request.Release}
	if r.Request.Stage {
		u.Call = keyuse.Stage
	}
	guard, err := keyuse.Guard(filepath.Join(j.Record.Dir, ".start-guard"), j.Clock.Now, guardTries)
	if err != nil {
		return agent.TxnReply{}, j.refused(u, fmt.Errorf("waiting for another request of the same key: %w", err))
	}
	defer guard.Close()
	was, err := j.mayStart(ctx, &r)
	if err != nil {
		return agent.TxnReply{}, j.refused(u, err)
	}
	if was != nil { // begun before, as it was judged then: nothing of what is sent now is taken
		return j.host.TxnRestart(ctx, agent.TxnRestartRequest{ID: was.ID, Secrets: j.Own.Secrets(), Fence: r.Request.Fence})
	}
	u.Request = r.Request.Key
	if err := j.accepted(u); err != nil {
		return agent.TxnReply{}, err
	}
	reply, err := j.host.TxnStart(ctx, r)
	if u.Transaction = reply.ID; reply.ID != "" {
		_ = j.Record.Note(u) // it was written down before; which one it is, is in the journal as well
	}
	return reply, err
}

// mayStart judges a request and makes it the host's own. What it returns was begun by the same
// request before.
func (j *Judge) mayStart(ctx context.Context, r *agent.TxnStartRequest) (was *txn.Summary, err error) {
	t := &r.Request
	what := "transaction for release " + t.Release
	if !runForm.MatchString(t.RunID) || !keyForm.MatchString(t.Key) {
		return nil, refuse(keyuse.Foreign, what, "run %.40q and request %.40q are no names that valtctl gives", t.RunID, t.Key)
	}
	all, err := j.Transactions()
	if err != nil {
		return nil, err
	}
	if was := earlier(t, all); was != nil {
		return was, j.token(t.Fence)
	}
	if err := idle(what, all); err != nil {
		return nil, err
	}
	m, err := j.moment(ctx, what, t.Stage)
	if err != nil {
		return nil, err
	}
	t.Key = inWindow(m.opened) + cmp.Or(t.Key, rand.Text())
	if err := j.counts(what, t, m, all); err != nil {
		return nil, err
	}
	return nil, j.isOwnUpdate(ctx, r, what, m)
}

// isOwnUpdate wants what is asked for to be what this host would do now, and has it done with
// what the host itself knows.
func (j *Judge) isOwnUpdate(ctx context.Context, r *agent.TxnStartRequest, what string, m moment) error {
	t := &r.Request
	p, err := j.Own.Plan(ctx, t.Release)
	if err != nil {
		return err
	}
	if err := p.Offered(ctx, m.has, t.Stage); err != nil {
		return err
	}
	if err := errors.Join(j.request(p, t, m), j.token(t.Fence)); err != nil {
		return err
	}
	if err := j.wanted(ctx, what, p, t); err != nil {
		return err
	}
	t.Who, t.PlanDigest, t.Before = Who(j.Home), p.Digest, time.Time{}
	if !t.Stage {
		t.Before = m.latest
	}
	r.TrustedState, r.Secrets = &p.State, j.Own.Secrets()
	return nil
}

// idle wants nobody to be at work on the host, and the host to be well.
func idle(what string, all []txn.Summary) error {
	now := txn.Current(all)
	switch {
	case now == nil:
		return nil
	case !now.State.Finished():
		return refuse(keyuse.Busy, what, "transaction %s, begun by %s, is %s", now.ID, now.Who, now.State)
	case now.State == txn.StateQuarantined || now.State == txn.StateDamaged:
		return refuse(keyuse.Busy, what, "transaction %s is %s, and only a person leads out of that: valtctl repair", now.ID, now.State)
	}
	return nil
}

// tries are what the key has begun before.
type tries struct {
	stages    int // within a day
	begun     int // to this release, in this window
	disturbed int // of those, that came to their apply half
	gone      int // to this release, that went back since it last was there for good
}

// triesOf counts among all of the host's transactions, newest first.
func (j *Judge) triesOf(t *txn.Request, m moment, all []txn.Summary) (n tries) {
	settled := false
	for _, s := range all {
		switch {
		case s.Stage && isOwn(s) && m.now.Sub(s.Started.Add(j.Clock.Ahead)) < 24*time.Hour:
			n.stages++
		case s.Stage || s.Release != t.Release:
		case s.State == txn.StateDone:
			settled = true
		case isOwn(s) && s.Fetched && s.State != txn.StateNotDrained && !settled:
			n.gone++
		}
		if !s.Stage && s.Release == t.Release && strings.HasPrefix(s.Key, inWindow(m.opened)) {
			n.begun++
			if s.Fetched {
				n.disturbed++
			}
		}
	}
	return n
}

// counts refuses what was tried before: in this window, and too often in all.
func (j *Judge) counts(what string, t *txn.Request, m moment, all []txn.Summary) error {
	switch n := j.triesOf(t, m, all); {
	case t.Stage && n.stages >= mostStages:
		return refuse(keyuse.Tried, what, "it was fetched %d times within a day", n.stages)
	case t.Stage:
		return nil
	case n.disturbed > 0 || n.begun >= mostBegun:
		return refuse(keyuse.Tried, what, "it was tried in this maintenance window already")
	case n.gone >= mostUnconfirmed:
		return refuse(keyuse.NotOffered, what, "it went back %d times, and only a person tries it again: valtctl update", n.gone)
	}
	return nil
}

// wanted has the host look at itself: what finds nothing to do is not begun, and what disturbs
// is begun with a drain alone.
func (j *Judge) wanted(ctx context.Context, what string, p *Plan, t *txn.Request) error {
	if t.Stage {
		return nil
	}
	_, self := j.Own.About()
	hp, _ := p.Plan.Host(self.Name)
	seen, err := j.host.Inspect(ctx, agent.InspectRequest{Release: t.Release, Steps: hp.Steps, Secrets: j.Own.Secrets()})
	if err != nil {
		return err
	}
	changes := false
	for i, f := range seen.Findings {
		if !f.Finding.Change {
			continue
		}
		changes = true
		d := cmp.Or(f.Finding.Disrupts, hp.Steps[i].Disrupts)
		if t.Policy == txn.Defer && (f.Finding.Admits || d != "" && d != step.Nothing) {
			return refuse(keyuse.Foreign, what, "%s disturbs what the host serves, and there is no drain", hp.Steps[i].Title)
		}
	}
	if !changes {
		return refuse(keyuse.Foreign, what, "the host is as it should be: there is nothing to do")
	}
	return nil
}

// request wants a transaction to be this host's whole update, or its fetch half.
func (j *Judge) request(p *Plan, t *txn.Request, m moment) error {
	s, self := j.Own.About()
	what := "transaction for release " + t.Release
	switch {
	case t.Site != s.ID || t.Host != self.Name || !slices.Equal(t.Roles, plan.RoleNames(self)):
		return refuse(keyuse.Foreign, what, "it is for %s of site %s, and this is %s of %s", t.Host, t.Site, self.Name, s.ID)
	case t.Partial, t.Yields:
		return refuse(keyuse.Foreign, what, "it is not the whole update")
	}
	hp, _ := p.Plan.Host(self.Name)
	if t.Stage {
		t.Policy = txn.Defer
		return same(what, t.Steps, slices.DeleteFunc(slices.Clone(hp.Steps), func(s step.Spec) bool { return s.Half != step.Fetch }))
	}
	if err := j.applyWithin(what, p, t); err != nil {
		return err
	}
	t.ApplyWithin = time.Duration(s.Updates.HostWithin).String()
	if t.Confirm != time.Duration(s.Updates.ConfirmWithin).String() {
		return refuse(keyuse.Foreign, what, "it would wait %q to be confirmed, and the site file says %s", t.Confirm, time.Duration(s.Updates.ConfirmWithin))
	}
	want := hp.Steps
	at := slices.IndexFunc(want, func(s step.Spec) bool { return s.Half == step.Apply })
	if at < 0 || at >= len(t.Steps) || t.Steps[at].ID == want[at].ID {
		t.Policy = txn.Defer // without a drain nothing that serves is disturbed
		return same(what, t.Steps, want)
	}
	drain, err := p.Drain(within(t.Steps[at]))
	if err != nil {
		return refuse(keyuse.Foreign, what, "%v", err)
	}
	if err := same(what, t.Steps, slices.Insert(slices.Clone(want), at, drain)); err != nil {
		return err
	}
	waits := cmp.Or(waits(t.Steps[at]), p.DrainMost)
	t.ApplyWithin = (waits + time.Duration(s.Updates.HostWithin)).String()
	return m.holds(what, waits)
}

// applyWithin judges how long the apply half may take in all: at most what a drain may wait, and
// what the site file gives a host beside it. What this one takes the host sets by itself: with
// less it would go back in its middle.
func (j *Judge) applyWithin(what string, p *Plan, t *txn.Request) error {
	s, _ := j.Own.About()
	most := p.DrainMost + time.Duration(s.Updates.HostWithin)
	asked, err := time.ParseDuration(cmp.Or(t.ApplyWithin, most.String()))
	if err != nil || asked <= 0 || asked > most {
		return refuse(keyuse.Foreign, what, "its apply half would take %.40q, and the site file and the drain allow %s", t.ApplyWithin, most)
	}
	return nil
}

// waits is how long a drain waits; 0: it does not say.
func waits(s step.Spec) time.Duration {
	d, _ := time.ParseDuration(within(s)) // it was made by this host, from a text that was parsed
	return d
}

// within is how long a drain says that it waits; what it says else is compared.
func within(s step.Spec) string {
	var p struct {
		Within string `json:"within"`
	}
	_ = json.Unmarshal(s.Params, &p) // what cannot be read differs from what is wanted
	return p.Within
}

// same wants the steps that were sent to be those that this host would make.
func same(what string, got, want []step.Spec) error {
	if len(got) != len(want) {
		return refuse(keyuse.Foreign, what, "it has %d steps, and this host's own plan has %d", len(got), len(want))
	}
	for i := range got {
		a, err1 := text(got[i])
		b, err2 := text(want[i])
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if a != b {
			return refuse(keyuse.Foreign, what, "its step %s is not the %s of this host's own plan", got[i].ID, want[i].ID)
		}
	}
	return nil
}
