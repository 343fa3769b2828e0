package installer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

// How often and for how long a lost host is dialled again. It goes on by itself
// meanwhile, so giving up costs nothing but the view.
const (
	redialEvery = 3 * time.Second
	redialFor   = 5 * time.Minute
)

// apply starts a transaction on every host that differs and follows it, as many at a time
// as may fetch.
func (r *run) apply(ctx context.Context) error {
	return eachOf(ctx, r.AtOnce(), len(r.hosts), func(i int) error {
		if len(r.result.Hosts[i].Changes) == 0 {
			r.Observer.Observe(event.Event{Kind: event.Done, Host: r.hosts[i].Name, Text: string(r.result.Hosts[i].Outcome)})
			return nil
		}
		id, err := r.start(ctx, i)
		if err != nil {
			r.result.Hosts[i].Outcome, r.result.Hosts[i].Reason = Failed, err.Error()
			return fmt.Errorf("host %s: %w", r.hosts[i].Name, err)
		}
		return r.follow(ctx, i, id)
	})
}

// start hands a host its part of the plan.
func (r *run) start(ctx context.Context, i int) (string, error) {
	return r.send(ctx, i, r.chosen, txn.Request{
		Release: r.result.Release, PlanDigest: r.result.Digest, Policy: txn.Defer, Steps: r.result.plan.Hosts[i].Steps})
}

// send fills in whose and which host's a transaction is, and has the host begin it.
func (r *run) send(ctx context.Context, i int, c *chosen, t txn.Request) (string, error) {
	h := r.hosts[i]
	var err error
	if t.Fence, err = r.fenced(); err != nil {
		return "", err
	}
	t.Schema, t.Site, t.Host, t.Roles, t.RunID, t.Who = txn.Schema, r.Site.ID, h.Name, plan.RoleNames(h), r.Run, r.Who
	s := r.session(i)
	if s == nil {
		return "", errNoSession
	}
	reply, err := s.client.TxnStart(ctx, agent.TxnStartRequest{Request: t, Secrets: r.secrets(h.Name), TrustedState: &c.state})
	if err != nil {
		return "", err
	}
	r.Observer.Observe(event.Event{Kind: event.Start, Host: h.Name, Text: reply.ID})
	return reply.ID, nil
}

// follow watches a host's transaction to its end, dialling again when the link is lost.
func (r *run) follow(ctx context.Context, i int, id string) error {
	f := &following{run: r, host: i, id: id, titles: titlesOf(r.result.plan.Hosts[i])}
	r.result.Hosts[i].Transaction = id
	result, err := f.toTheEnd(ctx)
	if err != nil {
		r.result.Hosts[i].Outcome = Running
		return f.left(ctx, err)
	}
	return r.conclude(i, result)
}

// conclude puts what a transaction came to into the result.
func (r *run) conclude(i int, result txn.Result) error {
	res := &r.result.Hosts[i]
	err := result.Err()
	switch result.Outcome {
	case txn.Done:
		res.Outcome = Changed
	case txn.Failed:
		res.Outcome = Failed
	default:
		res.Outcome = Running
	}
	if err != nil {
		res.Reason = err.Error()
		err = fmt.Errorf("host %s: %w", res.Host, err)
	}
	r.Observer.Observe(event.Event{Kind: event.Done, Host: res.Host, Text: string(res.Outcome)})
	return err
}

// following is one host's transaction as the controller watches it.
type following struct {
	*run
	host   int
	id     string
	next   int64 // the journal record to go on from
	titles map[string]titled
	lost   bool
	port   int    // where the transaction was told that the bundle answers; 0: as it was begun
	proved string // the last confirmation that was asked for
	// judge is asked whether a host that has switched serves; nil: nobody says.
	judge    Judge
	switched bool
	records  []journal.Record
}

// Judge says whether a host that has switched to something new is to be kept. An error is
// why it is taken back. When ctx ends nothing is said, and the host decides by itself.
type Judge func(ctx context.Context) error

// titled is a step's place and name, for people.
type titled struct {
	index, count int
	title        string
}

func titlesOf(hp plan.HostPlan) map[string]titled {
	all := make(map[string]titled, len(hp.Steps))
	for i, s := range hp.Steps {
		all[s.ID] = titled{i + 1, len(hp.Steps), s.Title}
	}
	return all
}

// toTheEnd follows over as many connections as it takes.
func (f *following) toTheEnd(ctx context.Context) (txn.Result, error) {
	var lostAt time.Time
	for {
		result, err := f.once(ctx)
		if err == nil || ctx.Err() != nil || saidByHost(err) {
			return result, err
		}
		if !f.lost {
			f.lost, lostAt = true, f.Now()
			f.tell(event.Event{Kind: event.Lost, Text: "the connection is lost; the host goes on, dialling again"})
		}
		if f.Now().Sub(lostAt) > redialFor {
			return txn.Result{}, err
		}
		if err := f.redial(ctx); err != nil {
			return txn.Result{}, err
		}
	}
}

// once follows over the connection there is.
func (f *following) once(ctx context.Context) (txn.Result, error) {
	s := f.session(f.host)
	if s == nil {
		return txn.Result{}, errNoSession
	}
	var proving sync.WaitGroup
	defer proving.Wait()
	ctx, ended := context.WithCancel(ctx)
	defer ended()
	judging := sync.OnceFunc(func() { proving.Go(func() { f.answer(ctx, s) }) })
	if f.switched { // seen over a connection that is lost; whether it was answered is not known
		judging()
	}
	reply, err := s.client.TxnFollow(ctx, agent.TxnFollowRequest{ID: f.id, From: f.next}, func(e txn.Event) error {
		nonce := f.event(e)
		if nonce != "" && nonce != f.proved {
			f.proved = nonce
			proving.Go(func() { f.prove(ctx, s, nonce) })
		}
		if f.switched {
			judging()
		}
		return nil
	})
	if err != nil {
		return txn.Result{}, err
	}
	return reply.Result, nil
}

var errNoSession = errors.New("the host is not connected")

// saidByHost tells an answer from a lost connection.
func saidByHost(err error) bool {
	var p *problem.Error
	return errors.As(err, &p)
}

// redial replaces the session after a pause. That it fails is no error: it is tried again.
func (f *following) redial(ctx context.Context) error {
	if s := f.setSession(f.host, nil); s != nil {
		_ = s.close() // it is dead already; how it ends tells nothing new
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(redialEvery):
	}
	s, err := f.Connect.carrying(ctx, f.hosts[f.host], event.Silent{}, f.Carrier)
	if err != nil {
		return nil
	}
	f.setSession(f.host, s)
	f.lost = false
	f.tell(event.Event{Kind: event.Note, Text: "connected again"})
	if port := f.Carrier.port(f.hosts[f.host].Name); port != f.port { // the bundle answers at another place now
		if err := f.restart(ctx, f.host, f.id); saidByHost(err) {
			return err
		} else if err == nil {
			f.port = port
		}
	}
	return nil
}

func (f *following) tell(e event.Event) {
	e.Host = f.hosts[f.host].Name
	f.Observer.Observe(e)
}

// event passes on one line of what the host says, and returns the confirmation that it
// asks for, if any.
func (f *following) event(e txn.Event) (confirm string) {
	if p := e.Progress; p != nil {
		confirm = p.Confirm
		at := f.titles[p.Step]
		f.tell(event.Event{Kind: event.Progress, Step: p.Step, Title: at.title, Text: p.Text, Done: p.Done, Total: p.Total, Index: at.index, Count: at.count})
	}
	if rec := e.Record; rec != nil {
		f.next = rec.Seq + 1
		f.records = append(f.records, *rec)
		f.record(rec)
	}
	return confirm
}

// record tells of what a person watching wants to know of the journal.
func (f *following) record(rec *journal.Record) {
	at := f.titles[rec.Step]
	e := event.Event{Kind: event.Step, Step: rec.Step, StepKind: rec.StepKind, Title: at.title, Index: at.index, Count: at.count}
	switch rec.Kind {
	case journal.Apply:
		e.Text = "…"
	case journal.Applied:
		e.Text = "done"
	case journal.Failed, journal.Deferred, journal.Skipped:
		e.Text = string(rec.Kind)
	case journal.Unchanged:
		e.Kind = event.Progress
	case journal.Switched:
		f.switched = f.judge != nil
		e = event.Event{Kind: event.Note, Text: "switched; it waits to be confirmed"}
	case journal.Confirmed:
		f.switched = false
		e = event.Event{Kind: event.Note, Text: "confirmed"}
	case journal.Undoing:
		f.switched = false
		e = event.Event{Kind: event.Note, Text: "it goes back to what it was"}
	case journal.Undone:
		e.Text = "taken back"
	case journal.Waiting, journal.Resumed, journal.Supplied, journal.Interrupted:
		e = event.Event{Kind: event.Note, Text: "the transaction is " + string(rec.Kind)}
	default:
		return
	}
	f.tell(e)
}

// answer has the judge look at the host that has switched, and tells the host. A host that
// could not be told, or whose judge was interrupted, goes back by itself.
func (f *following) answer(ctx context.Context, s *session) {
	err := f.judge(ctx)
	if ctx.Err() != nil {
		return
	}
	token, said := f.fenced()
	if said == nil {
		said = s.client.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: f.id, Undo: oneLine(err), Fence: token})
	}
	if said != nil && ctx.Err() == nil && saidByHost(said) {
		f.tell(event.Event{Kind: event.Note, Text: oneLine(said)})
	}
}

// left says that the host goes on, and how to follow it.
func (f *following) left(ctx context.Context, err error) error {
	name := f.hosts[f.host].Name
	p := &problem.Error{Kind: problem.Failed, Doing: "following transaction " + f.id + " on host", Object: name, Err: err,
		Fix: "the host goes on by itself; follow it with: valtctl resume"}
	if why := context.Cause(ctx); errors.Is(why, context.Canceled) {
		p.Kind = problem.Interrupted // a person stopped it
	} else if why != nil {
		p.Kind = problem.KindOf(why) // such as the lease, which was lost
	}
	return p
}
