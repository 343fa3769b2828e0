package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Work is a run as package updater drives it, host by host: the hosts are connected to and
// their facts are known; releases are chosen and planned as often as it takes. Its methods
// may be called for several hosts at once.
type Work struct {
	*run
	repo *release.Repository
}

// Supply adds secrets to those that a host's steps may ask for in this run.
func (w *Work) Supply(host string, secrets map[string][]byte) {
	if w.more == nil {
		w.more = map[string]map[string][]byte{}
	}
	w.more[host] = secrets
}

// Begin reads the site's files and connects to its hosts.
func Begin(ctx context.Context, o Options) (*Work, error) {
	w := &Work{run: &run{Options: o}}
	var err error
	if w.material, err = readMaterial(o.Site, o.Now()); err != nil {
		return nil, err
	}
	if w.hosts, err = picked(o.Site, o.Hosts); err != nil {
		return nil, err
	}
	if err := w.meet(ctx); err != nil {
		return nil, errors.Join(err, w.fleet.close())
	}
	return w, nil
}

// Hold takes the site's lease for this run, with what it is about kept beside it. The
// context that it returns ends when the lease is lost.
func (w *Work) Hold(ctx context.Context, rollout json.RawMessage) (*Hold, context.Context, error) {
	return w.hold(ctx, rollout)
}

// Close ends the connections.
func (w *Work) Close() error { return w.fleet.close() }

// Hosts are the hosts of the run, in the site file's order.
func (w *Work) Hosts() []site.Host { return w.hosts }

func (w *Work) index(host string) (int, error) {
	i := slices.IndexFunc(w.hosts, func(h site.Host) bool { return h.Name == host })
	if i < 0 {
		return 0, fmt.Errorf("looking for host %s: this run does not have it", host)
	}
	return i, nil
}

// Facts are what a host had when it was connected to.
func (w *Work) Facts(host string) facts.Facts {
	i, err := w.index(host)
	if err != nil {
		return facts.Facts{}
	}
	return w.facts[i].Facts
}

// Releases opens the release repository and lists the versions in it, oldest first. With
// last, one that is out of reach or expired is read as it was last verified, which is
// enough to finish, and to go back.
func (w *Work) Releases(ctx context.Context, last bool) ([]string, error) {
	repo, offline, err := refreshed(ctx, w.Options, w.material, last)
	if err != nil {
		return nil, err
	}
	w.repo = repo
	if offline != nil {
		w.Observer.Observe(event.Event{Kind: event.Note, Text: fmt.Sprintf("going on with the releases known since the last look: %v", offline)})
	}
	return repo.Versions(), nil
}

// Wanted is the version that the site file asks for.
func (w *Work) Wanted(ctx context.Context) (string, error) {
	return resolve(ctx, w.repo, w.Options)
}

// Offered is the version that the site file asks for, and for how many of the sites that
// update unattended it is by now, in percent.
func (w *Work) Offered(ctx context.Context) (version string, percent int, err error) {
	if w.Site.Release.Version != "" {
		return w.Site.Release.Version, 100, nil
	}
	c, err := w.repo.Pointer(ctx, w.Site.Release.Channel)
	return c.Release, c.Share(), err
}

// Manifest is a release's manifest, verified.
func (w *Work) Manifest(ctx context.Context, version string) (*release.Manifest, error) {
	return w.repo.Manifest(ctx, version)
}

// Target is one release planned for the run's hosts.
type Target struct {
	Manifest *release.Manifest
	Digest   string // of the plan
	Plan     *plan.Plan
	chosen   *chosen
}

// Plan plans the update of every host to a release; downgrade allows packages to go back.
// What must not be touched is refused, on all hosts at once.
func (w *Work) Plan(ctx context.Context, version string, downgrade bool) (*Target, error) {
	c, err := readRelease(ctx, w.repo, w.Site, version)
	if err != nil {
		return nil, err
	}
	return w.target(ctx, c, downgrade)
}

func (w *Work) target(ctx context.Context, c *chosen, downgrade bool) (*Target, error) {
	p, digest, err := w.build(ctx, c, plan.Input{Update: true, Downgrade: downgrade})
	if err != nil {
		return nil, err
	}
	return &Target{Manifest: c.manifest, Digest: digest, Plan: p, chosen: c}, nil
}

// Precheck refuses hosts that the target must not be brought to: bare, foreign, of an
// Ubuntu that it is not for, with containers that are not ours, with something unfinished.
func (w *Work) Precheck(t *Target) error {
	w.chosen = t.chosen
	return w.check(refuseBare)
}

// Inspect has a host compare itself with steps of a target.
func (w *Work) Inspect(ctx context.Context, host string, t *Target, steps []step.Spec) ([]agent.StepFinding, error) {
	i, err := w.index(host)
	if err != nil {
		return nil, err
	}
	s := w.session(i)
	if s == nil {
		return nil, fmt.Errorf("host %s: %w", host, errNoSession)
	}
	reply, err := s.client.Inspect(ctx, agent.InspectRequest{Release: t.Manifest.Version, Steps: steps, Secrets: w.secrets(host)})
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", host, err)
	}
	if len(reply.Findings) != len(steps) {
		return nil, fmt.Errorf("host %s: it answered for %d of %d steps", host, len(reply.Findings), len(steps))
	}
	var errs []error
	for _, f := range reply.Findings {
		if err := problem.FromRecords(f.Problems); err != nil {
			errs = append(errs, fmt.Errorf("host %s: %w", host, err))
		}
	}
	return reply.Findings, errors.Join(append(errs, w.suits(ctx, i, steps, reply.Findings))...)
}

// Engine asks what a host's media engine does now.
func (w *Work) Engine(ctx context.Context, host string, a wowza.Access) (wowza.State, error) {
	i, err := w.index(host)
	if err != nil {
		return wowza.State{}, err
	}
	s := w.session(i)
	if s == nil {
		return wowza.State{}, fmt.Errorf("host %s: %w", host, errNoSession)
	}
	state, err := s.client.Engine(ctx, a)
	if err != nil {
		return state, fmt.Errorf("host %s: %w", host, err)
	}
	return state, nil
}

// Schedule is what a host has written down of unattended runs; nil: nothing.
func (w *Work) Schedule(host string) *agent.Schedule {
	i, err := w.index(host)
	if err != nil {
		return nil
	}
	return w.facts[i].Schedule
}

// Past lists a host's last transactions, newest first, as it told when it was connected to.
func (w *Work) Past(host string) []txn.Summary {
	i, err := w.index(host)
	if err != nil {
		return nil
	}
	return w.facts[i].Transactions
}

// Quarantined is the transaction that left a host neither old nor new, unless a later one
// led out of that; empty: there is none.
func (w *Work) Quarantined(host string) string {
	for _, past := range w.Past(host) {
		if past.Stage {
			continue
		}
		if past.State == txn.StateQuarantined {
			return past.ID
		}
		return ""
	}
	return ""
}

// Change is one transaction that a host is to make.
type Change struct {
	Steps   []step.Spec
	Policy  txn.Policy
	Stage   bool   // its fetch half alone, ahead of time
	Partial bool   // as txn.Request's
	Confirm string // as txn.Request's
	Judge   Judge  // with Confirm
}

// Done is what a transaction came to, and its journal as far as it was seen.
type Done struct {
	ID      string
	Result  txn.Result
	Records []journal.Record
}

// Do has a host make a change and follows it to its end, over as many connections as it
// takes. An error means that the end was not seen: the host goes on by itself.
func (w *Work) Do(ctx context.Context, host string, t *Target, c Change) (Done, error) {
	i, err := w.index(host)
	if err != nil {
		return Done{}, err
	}
	id, err := w.send(ctx, i, t.chosen, txn.Request{Release: t.Manifest.Version, PlanDigest: t.Digest,
		Policy: c.Policy, Steps: c.Steps, Stage: c.Stage, Partial: c.Partial, Confirm: c.Confirm})
	if err != nil {
		return Done{}, fmt.Errorf("host %s: %w", host, err)
	}
	return w.see(ctx, i, id, titlesOf(plan.HostPlan{Steps: c.Steps}), c.Judge)
}

// see follows a transaction to its end.
func (w *Work) see(ctx context.Context, i int, id string, titles map[string]titled, judge Judge) (Done, error) {
	f := &following{run: w.run, host: i, id: id, titles: titles, judge: judge}
	result, err := f.toTheEnd(ctx)
	if err != nil {
		return Done{ID: id, Records: f.records}, f.left(ctx, err)
	}
	w.Observer.Observe(event.Event{Kind: event.Done, Host: w.hosts[i].Name, Text: string(result.Outcome)})
	return Done{id, result, f.records}, nil
}

// Unfinished is a transaction that an earlier run left on a host.
type Unfinished struct {
	Host string
	txn.Summary
}

// Unfinished lists what earlier runs left.
func (w *Work) Unfinished() ([]Unfinished, error) {
	var all []Unfinished
	for i, h := range w.hosts {
		for _, t := range w.facts[i].Transactions {
			if t.State.Finished() {
				continue
			}
			all = append(all, Unfinished{h.Name, t})
		}
	}
	return all, nil
}

// Adopt goes on with a transaction that an earlier run left, and follows it to its end.
func (w *Work) Adopt(ctx context.Context, u Unfinished, judge Judge) (Done, error) {
	i, err := w.index(u.Host)
	if err != nil {
		return Done{}, err
	}
	brings := u.State == txn.StateRunning && w.Carrier != nil // the bundle answers at another place now
	if brings || u.State == txn.StateWaiting || u.State == txn.StateInterrupted {
		if err := w.restart(ctx, i, u.ID); err != nil {
			return Done{}, err
		}
	}
	return w.see(ctx, i, u.ID, nil, judge)
}

// restart gives a transaction its secrets again and has the host go on with it.
func (r *run) restart(ctx context.Context, i int, id string) error {
	token, err := r.fenced()
	if err != nil {
		return err
	}
	s := r.session(i)
	if s == nil {
		return fmt.Errorf("host %s: %w", r.hosts[i].Name, errNoSession)
	}
	if _, err := s.client.TxnRestart(ctx, agent.TxnRestartRequest{ID: id, Secrets: r.secrets(r.hosts[i].Name), Fence: token}); err != nil {
		return fmt.Errorf("host %s: %w", r.hosts[i].Name, err)
	}
	return nil
}

// Refresh asks a host for its facts again.
func (w *Work) Refresh(ctx context.Context, host string) error {
	i, err := w.index(host)
	if err != nil {
		return err
	}
	s := w.session(i)
	if s == nil {
		return fmt.Errorf("host %s: %w", host, errNoSession)
	}
	reply, err := s.client.Facts(ctx, agent.FactsRequest{})
	if err != nil {
		return fmt.Errorf("host %s: %w", host, err)
	}
	w.facts[i] = reply
	return nil
}
