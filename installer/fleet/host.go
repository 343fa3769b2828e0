package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/support"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Host is one host of a run. Its methods may be called from several goroutines at once;
// their errors say which host it is.
type Host struct {
	site.Host
	fleet  *Fleet
	beside bool // the run is not about it: nothing is carried there

	dialling chan struct{} // holds whoever opens a lost connection again: one at a time

	mu     sync.Mutex
	client *agent.Client // nil: it was not connected to, or left
	facts  agent.FactsReply
	extra  map[string][]byte
	told   []byte // where its transaction was told last that the bundle answers
}

func newHost(h site.Host, f *Fleet) *Host {
	return &Host{Host: h, fleet: f, dialling: make(chan struct{}, 1)}
}

// Connect opens the connection to the host's agent. From then on a connection that is lost is
// opened again by whoever needs it next.
func (h *Host) Connect(ctx context.Context) error {
	client, err := h.fleet.Options.Dial.open(ctx, h.Host, h.fleet.Options.Observer, h.carrier())
	if err != nil {
		return err
	}
	h.replace(client)
	return nil
}

// carrier is the run's bundle for this host; nil: it is given none.
func (h *Host) carrier() *Carrier {
	if h.beside {
		return nil
	}
	return h.fleet.Options.Carrier
}

// Connected says whether the host was connected to and not left. Its link may be lost for the
// moment.
func (h *Host) Connected() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.client != nil
}

// Close ends the connection.
func (h *Host) Close() error {
	if was := h.replace(nil); was != nil {
		return ignoreClosed(was.Close())
	}
	return nil
}

func (h *Host) connection() *agent.Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.client
}

// replace puts another connection in the place of the one before, which it returns.
func (h *Host) replace(client *agent.Client) *agent.Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.client
	h.client = client
	return was
}

// Facts are what the host had when it was asked last.
func (h *Host) Facts() agent.FactsReply {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.facts
}

// Supply adds secrets to those that the host's steps may ask for in this run.
func (h *Host) Supply(secrets map[string][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.extra = secrets
}

// Supplied are the secrets of this run alone: where its bundle answers, and what Supply
// added.
func (h *Host) Supplied() map[string][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string][]byte{}
	if at := h.fleet.Options.Carrier.secret(h.Name); at != nil {
		all[plan.SecretBundle] = at
	}
	for name, value := range h.extra {
		all[name] = value
	}
	return all
}

// telling notes what a transaction is told of where the bundle answers.
func (h *Host) telling(secrets map[string][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = secrets[plan.SecretBundle]
}

// wasTold is what telling noted last.
func (h *Host) wasTold() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told
}

// tell passes on what happened to this host.
func (h *Host) tell(e event.Event) {
	e.Host = h.Name
	h.fleet.Options.Observer.Observe(e)
}

// hostError says which host an error is of.
type hostError struct {
	host string
	err  error
}

func (e *hostError) Error() string { return "host " + e.host + ": " + e.err.Error() }
func (e *hostError) Unwrap() error { return e.err }

// Bare is an error of a Host without the host's name, for where that is said already.
func Bare(err error) error {
	var of *hostError
	if errors.As(err, &of) {
		return of.err
	}
	return err
}

// wrap says which host an error is of.
func (h *Host) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &hostError{h.Name, err}
}

// AskFacts asks the host what it has; with full also for what takes longer than
// milliseconds.
func (h *Host) AskFacts(ctx context.Context, full bool) (agent.FactsReply, error) {
	return call(ctx, h, func(ctx context.Context, c *agent.Client) (agent.FactsReply, error) {
		return c.Facts(ctx, agent.FactsRequest{Full: full})
	})
}

// Refresh asks the host for its facts again, and keeps them.
func (h *Host) Refresh(ctx context.Context) error {
	reply, err := h.AskFacts(ctx, false)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.facts = reply
	return nil
}

// Inspect has the host compare itself with steps of a release. There is one finding a step,
// in their order; what a step could not look at is in its finding.
func (h *Host) Inspect(ctx context.Context, r agent.InspectRequest) ([]agent.StepFinding, error) {
	reply, err := call(ctx, h, func(ctx context.Context, c *agent.Client) (agent.InspectReply, error) { return c.Inspect(ctx, r) })
	if err != nil {
		return nil, err
	}
	if len(reply.Findings) != len(r.Steps) {
		return nil, h.wrap(fmt.Errorf("it answered for %d of %d steps", len(reply.Findings), len(r.Steps)))
	}
	return reply.Findings, nil
}

// ProveBundle has the host's own apt plan its packages from the run's bundle alone.
func (h *Host) ProveBundle(ctx context.Context, r agent.ProveRequest) ([]agent.PackageFile, error) {
	reply, err := call(ctx, h, func(ctx context.Context, c *agent.Client) (agent.ProveReply, error) { return c.Prove(ctx, r) })
	return reply.Files, err
}

// Start hands the host a transaction and returns its id when it runs by itself. Whose it is,
// and the fencing token, are filled in. An error of the lease, once that has expired, is
// returned without asking the host. Where the request or its answer is lost on the way the
// same is asked again, which begins nothing twice; an error that is Unheard means that the
// host may be at work.
func (h *Host) Start(ctx context.Context, t txn.Request, secrets map[string][]byte, trusted *release.State) (string, error) {
	token, err := h.fleet.fence()
	if err != nil {
		return "", h.wrap(err)
	}
	t.Schema, t.Site, t.Host, t.Roles, t.RunID, t.Who, t.Fence = txn.Schema, h.fleet.Options.Site.ID, h.Name, plan.RoleNames(h.Host), h.fleet.Options.Run, h.fleet.Options.Who, token
	t.Key = rand.Text()
	h.telling(secrets)
	reply, err := call(ctx, h, func(ctx context.Context, c *agent.Client) (agent.TxnReply, error) {
		return c.TxnStart(ctx, agent.TxnStartRequest{Request: t, Secrets: secrets, TrustedState: trusted})
	})
	if err != nil {
		return "", err
	}
	h.tell(event.Event{Kind: event.Start, Text: reply.ID})
	return reply.ID, nil
}

// Restart gives a transaction its secrets again and has the host go on with it.
func (h *Host) Restart(ctx context.Context, id string, secrets map[string][]byte) error {
	token, err := h.fleet.fence()
	if err != nil {
		return err
	}
	h.telling(secrets)
	return h.do(ctx, func(ctx context.Context, c *agent.Client) error {
		_, err := c.TxnRestart(ctx, agent.TxnRestartRequest{ID: id, Secrets: secrets, Fence: token})
		return err
	})
}

// CallOff tells the host to take back a transaction of which it has said, when its facts
// were gathered, what it is (was). One that ended or was confirmed since then is left as it
// is: following it tells how.
func (h *Host) CallOff(ctx context.Context, was txn.Summary, why string) error {
	token, err := h.fleet.fence()
	if err != nil {
		return err
	}
	err = h.do(ctx, func(ctx context.Context, c *agent.Client) error {
		return c.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: was.ID, Undo: why, Fence: token})
	})
	if err == nil || !saidByHost(err) || problem.KindOf(err) == problem.Locked || !was.WayBack && !was.Yields {
		return err
	}
	h.tell(event.Event{Kind: event.Note, Text: OneLine(Bare(err))})
	return nil
}

// Past lists the host's transactions, newest first, as it keeps them.
func (h *Host) Past(ctx context.Context) ([]txn.Summary, error) {
	reply, err := call(ctx, h, func(ctx context.Context, c *agent.Client) (agent.TxnListReply, error) { return c.TxnList(ctx) })
	return reply.Transactions, err
}

// Unfinished is the host's newest transaction that is not over, as its facts have it; false:
// there is none.
func (h *Host) Unfinished() (txn.Summary, bool) {
	for _, t := range h.Facts().Transactions {
		if !t.State.Finished() {
			return t, true
		}
	}
	return txn.Summary{}, false
}

// Engine asks what the host's media engine does now.
func (h *Host) Engine(ctx context.Context, a wowza.Access) (wowza.State, error) {
	return callWithin(ctx, h, quickWithin, func(ctx context.Context, c *agent.Client) (wowza.State, error) { return c.Engine(ctx, a) })
}

// Survey asks what the host tells of itself beyond facts.
func (h *Host) Survey(ctx context.Context, r survey.Request) (survey.Reply, error) {
	return call(ctx, h, func(ctx context.Context, c *agent.Client) (survey.Reply, error) { return c.Survey(ctx, r) })
}

// Backups asks for the backups of the host's database.
func (h *Host) Backups(ctx context.Context, dir string) (agent.BackupsReply, error) {
	return call(ctx, h, func(ctx context.Context, c *agent.Client) (agent.BackupsReply, error) {
		return c.Backups(ctx, agent.BackupsRequest{Dir: dir})
	})
}

// AskLease asks about the site's lease. The host must be the one that keeps it.
func (h *Host) AskLease(ctx context.Context, r agent.LeaseRequest) (agent.LeaseReply, error) {
	return call(ctx, h, func(ctx context.Context, c *agent.Client) (agent.LeaseReply, error) {
		reply, err := c.Lease(ctx, r)
		if err != nil {
			return reply, fmt.Errorf("asking for the site's lease: %w", err)
		}
		return reply, nil
	})
}

// Fence tells the host the highest fencing token, so that whoever held the lease before is
// refused there.
func (h *Host) Fence(ctx context.Context, token int64) error {
	_, err := callWithin(ctx, h, quickWithin, func(ctx context.Context, c *agent.Client) (agent.LeaseReply, error) {
		return c.Lease(ctx, h.fleet.Options.fencing(token))
	})
	return err
}

// Revoke has the host take no key of unattended runs any more. It needs no lease: it takes from
// others, and changes nothing that serves.
func (h *Host) Revoke(ctx context.Context, r agent.RevokeRequest) (agent.RevokeReply, error) {
	return callWithin(ctx, h, quickWithin, func(ctx context.Context, c *agent.Client) (agent.RevokeReply, error) { return c.Revoke(ctx, r) })
}

// Logs copies a log of the host to out.
func (h *Host) Logs(ctx context.Context, r agent.LogsRequest, out io.Writer) error {
	client, err := h.reach(ctx, nil)
	if err != nil {
		return h.wrap(err)
	}
	return h.wrap(client.Logs(ctx, r, out))
}

// Support has the host gather what support asks for, piece by piece.
func (h *Host) Support(ctx context.Context, r support.Request, part func(support.Part) error) error {
	client, err := h.reach(ctx, nil)
	if err != nil {
		return h.wrap(err)
	}
	return h.wrap(client.Support(ctx, r, part))
}

// Solve has the host's apt say what an installation would fetch, as apt.Ask.
func (h *Host) Solve(ctx context.Context, q apt.Question) ([]string, error) {
	return call(ctx, h, func(ctx context.Context, c *agent.Client) ([]string, error) { return c.Solve(ctx, q) })
}

// Probe has the host ask its questions of the network. As check.Machine's; who asks knows
// which host it is, so the error does not say it.
func (h *Host) Probe(ctx context.Context, r probe.Request, outcome func(probe.Outcome) error) error {
	client, err := h.reach(ctx, nil)
	if err != nil {
		return err
	}
	err = client.Probe(ctx, r, outcome)
	if err != nil && !saidByHost(err) && ctx.Err() == nil {
		err = &unheard{err}
	}
	return err
}

// Listen has the host listen until ctx ends, which is no error. As check.Machine's.
func (h *Host) Listen(ctx context.Context, r probe.ListenRequest, event func(probe.ListenEvent) error) error {
	client, err := h.reach(ctx, nil)
	if err != nil {
		return err
	}
	return client.Listen(ctx, r, event)
}

// Answer answers a step of the host that asks who follows.
func (h *Host) Answer(ctx context.Context, a step.Answer) error {
	return h.do(ctx, func(ctx context.Context, c *agent.Client) error { return c.Answer(ctx, a) })
}
