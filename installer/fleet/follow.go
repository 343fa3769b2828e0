package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// How often and for how long a lost host is dialled again. It goes on by itself
// meanwhile, so giving up costs nothing but the view.
const (
	redialEvery = 3 * time.Second
	redialFor   = 5 * time.Minute
)

// Approval says whether a host that has switched to something new is to be kept. An error is
// why it is taken back. When ctx ends nothing is said, and the host decides by itself.
type Approval func(ctx context.Context) error

// Transaction is one that a host runs, to be followed.
type Transaction struct {
	ID    string
	Steps []step.Spec // for people's sake; nil: they are not known
	// Approve is asked once the host has switched; nil: nobody says anything.
	Approve Approval
	// Quiet is asked by a step that wants nothing recorded on the site's other hosts. An error
	// is why that is not so, or not known; nil: nobody can say.
	Quiet Approval
	// Secrets are what it gets again where the bundle answers at another place after a lost
	// connection.
	Secrets func() map[string][]byte
}

// End is what a transaction came to, and its journal as far as it was seen.
type End struct {
	ID      string
	Result  txn.Result
	Records []journal.Record
}

// Follow watches a transaction to its end, over as many connections as it takes, tells what
// happens, and answers what the host asks: to be approved, and to prove that its new firewall
// lets others in. An error means that the end was not seen: the host goes on by itself.
func (h *Host) Follow(ctx context.Context, t Transaction) (End, error) {
	f := &follower{Host: h, Transaction: t, titles: titlesOf(t.Steps)}
	result, err := f.toTheEnd(ctx)
	end := End{t.ID, result, f.records}
	if err != nil {
		return end, f.left(ctx, err)
	}
	return end, nil
}

// maxRecords is how many records of a transaction are kept: its steps have a few each.
const maxRecords = 20_000

// follower is one host's transaction as the controller watches it.
type follower struct {
	*Host
	Transaction
	next   int64 // the journal record to go on from
	titles map[string]title
	lost   bool
	over   *agent.Client // what it is followed over; nil: nothing yet
	// switched says that the host has switched and was not answered yet.
	switched bool
	records  []journal.Record
	// answered is the last question that was taken up over this connection.
	answered string
}

// title is a step's place and name, for people.
type title struct {
	index, count int
	text         string
}

func titlesOf(steps []step.Spec) map[string]title {
	all := make(map[string]title, len(steps))
	for i, s := range steps {
		all[s.ID] = title{i + 1, len(steps), s.Title}
	}
	return all
}

// toTheEnd follows over as many connections as it takes.
func (f *follower) toTheEnd(ctx context.Context) (txn.Result, error) {
	var lostAt time.Time
	now := f.fleet.Options.Now
	for {
		result, err := f.once(ctx)
		if err == nil || ctx.Err() != nil || saidByHost(err) || errors.Is(err, agent.ErrTooMuch) {
			return result, err
		}
		if !f.lost {
			f.lost, lostAt = true, now()
			f.tell(event.Event{Kind: event.Lost, Text: "the connection is lost; the host goes on, dialling again"})
		}
		if now().Sub(lostAt) > redialFor {
			return txn.Result{}, err
		}
		if err := sleep.For(ctx, redialEvery); err != nil {
			return txn.Result{}, err
		}
	}
}

// once follows over the connection there is.
func (f *follower) once(ctx context.Context) (txn.Result, error) {
	client, err := f.attach(ctx)
	if err != nil {
		return txn.Result{}, err
	}
	var answering sync.WaitGroup
	defer answering.Wait()
	ctx, ended := context.WithCancel(ctx)
	defer ended()
	approve := sync.OnceFunc(func() { answering.Go(func() { f.approve(ctx, client) }) })
	if f.switched { // seen over a connection that is lost; whether it was answered is not known
		approve()
	}
	reply, err := client.TxnFollow(ctx, agent.TxnFollowRequest{ID: f.ID, From: f.next}, func(e txn.Event) error {
		if asked := f.event(e); asked.Confirm != "" && asked.Confirm != f.answered {
			f.answered = asked.Confirm
			answering.Go(func() {
				if asked.Question == step.Quiet {
					f.answerQuiet(ctx, asked.Confirm)
				} else {
					f.proveFirewall(ctx, client, asked.Confirm)
				}
			})
		}
		if f.switched {
			approve()
		}
		if len(f.records) > maxRecords {
			return fmt.Errorf("%w: more than %d records of transaction %s", agent.ErrTooMuch, maxRecords, f.ID)
		}
		return nil
	})
	if err != nil {
		return txn.Result{}, err
	}
	return reply.Result, nil
}

// attach is the connection to follow over, opened again where it is lost. Over another one
// than before the bundle answers at another place, or to another password, which the transaction is told.
func (f *follower) attach(ctx context.Context) (*agent.Client, error) {
	client, err := f.reach(ctx, f.over)
	if err != nil {
		return nil, err
	}
	first := f.over == nil
	f.over, f.lost, f.answered = client, false, ""
	now, told := f.fleet.Options.Carrier.secret(f.Name), f.wasTold()
	if now == nil || bytes.Equal(now, told) || first && told == nil {
		return client, nil
	}
	if err := f.Restart(ctx, f.ID, f.Secrets()); err != nil {
		return nil, err
	}
	return client, nil
}

// event passes on one line of what the host says, and returns the progress in it, which may
// ask something.
func (f *follower) event(e txn.Event) (asked step.Progress) {
	if p := e.Progress; p != nil {
		asked = *p
		at := f.titles[p.Step]
		f.tell(event.Event{Kind: event.Progress, Step: p.Step, Title: at.text, Text: p.Text, Done: p.Done, Total: p.Total, Index: at.index, Count: at.count})
	}
	if rec := e.Record; rec != nil {
		f.next = rec.Seq + 1
		f.records = append(f.records, *rec)
		f.record(rec)
	}
	return asked
}

// record tells of what a person watching wants to know of the journal.
func (f *follower) record(rec *journal.Record) {
	at := f.titles[rec.Step]
	e := event.Event{Kind: event.Step, Step: rec.Step, StepKind: rec.StepKind, Title: at.text, Index: at.index, Count: at.count}
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
		f.switched = f.Approve != nil
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

// approve asks whether the host that has switched is to be kept, and tells the host. A host
// that could not be told, or for which nobody could say, goes back by itself.
func (f *follower) approve(ctx context.Context, client *agent.Client) {
	err := f.Approve(ctx)
	if ctx.Err() != nil {
		return
	}
	if Unheard(err) {
		f.tell(event.Event{Kind: event.Note, Text: "whether it serves cannot be asked, so it is neither confirmed nor taken back by this run: " + OneLine(err)})
		return
	}
	token, said := f.fleet.fence()
	if said == nil {
		said = client.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: f.ID, Undo: OneLine(err), Fence: token})
	}
	if said != nil && ctx.Err() == nil && saidByHost(said) {
		f.tell(event.Event{Kind: event.Note, Text: OneLine(said)})
	}
}

// left says that the host goes on, and how to follow it.
func (f *follower) left(ctx context.Context, err error) error {
	p := &problem.Error{Kind: problem.Failed, Doing: "following transaction " + f.ID + " on host", Object: f.Name, Err: err,
		Fix: "the host goes on by itself; follow it with: valtctl resume"}
	if why := context.Cause(ctx); errors.Is(why, context.Canceled) {
		p.Kind = problem.Interrupted // a person stopped it
	} else if why != nil {
		p.Kind = problem.KindOf(why) // such as the lease, which was lost
	}
	return p
}

// OneLine is an error's text without line breaks; empty for none.
func OneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
