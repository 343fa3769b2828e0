package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/hashicorp/yamux"

	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/support"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/apt"
)

// Client is the controller's end. Its methods may be called concurrently. Cancelling
// the context of a call cancels it on the host too.
type Client struct {
	host    string
	mux     *mux
	rpc     *jrpc2.Client
	streams atomic.Int64
	done    chan struct{}
	endErr  error // valid after done
}

// NewClient speaks to the agent of host over conn. streams serve what the agent opens
// by name; nil: nothing. The session lives until Close, also beyond ctx.
func NewClient(ctx context.Context, conn io.ReadWriteCloser, host string, streams map[string]StreamHandler) (*Client, error) {
	ctx = context.WithoutCancel(ctx)
	limits := OfAHost()
	session, err := yamux.Client(newPaced(conn), settings(limits))
	if err != nil {
		return nil, fmt.Errorf("speaking to the agent on %s: %w", host, err)
	}
	calls, err := session.Open()
	if err != nil {
		session.Close()
		return nil, fmt.Errorf("speaking to the agent on %s: %w", host, err)
	}
	c := &Client{host: host, mux: newMux(session, streams, limits), done: make(chan struct{})}
	c.mux.unasked = true
	c.rpc = jrpc2.NewClient(newFrames(calls, newLedger(limits, true), c.mux.fail), &jrpc2.ClientOptions{OnCancel: sendCancel(ctx)})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(c.done)
		defer cancel()
		c.endErr = c.mux.serve(ctx)
	}()
	return c, nil
}

// sendCancel tells the host of a call that was given up.
func sendCancel(ctx context.Context) func(*jrpc2.Client, *jrpc2.Response) {
	return func(rpc *jrpc2.Client, r *jrpc2.Response) {
		// A host that cannot be told has lost the channel, and cancels by itself.
		_ = rpc.Notify(ctx, methodCancel, cancelRequest{ID: r.ID()})
	}
}

// Close ends the session and with it the agent.
func (c *Client) Close() error {
	err := c.mux.session.Close()
	<-c.done
	c.rpc.Close()
	if err != nil {
		return fmt.Errorf("leaving the agent on %s: %w", c.host, err)
	}
	return nil
}

// Lost says that the session is over: the channel broke, or Close was called.
func (c *Client) Lost() bool { return c.mux.session.IsClosed() }

// Open opens a stream beside the calls for the agent's handler of that name.
func (c *Client) Open(name string) (net.Conn, error) { return c.mux.open(name) }

// Facts asks what the host has.
func (c *Client) Facts(ctx context.Context, r FactsRequest) (FactsReply, error) {
	return call[FactsReply](ctx, c, methodFacts, r)
}

// Inspect asks how the host differs from what steps want.
func (c *Client) Inspect(ctx context.Context, r InspectRequest) (InspectReply, error) {
	return call[InspectReply](ctx, c, methodInspect, r)
}

// TxnStart hands the host a transaction and returns when it runs by itself.
func (c *Client) TxnStart(ctx context.Context, r TxnStartRequest) (TxnReply, error) {
	return call[TxnReply](ctx, c, methodTxnStart, r)
}

// TxnRestart goes on with a transaction that waits for its secrets.
func (c *Client) TxnRestart(ctx context.Context, r TxnRestartRequest) (TxnReply, error) {
	return call[TxnReply](ctx, c, methodTxnRestart, r)
}

// TxnList asks for the host's transactions.
func (c *Client) TxnList(ctx context.Context) (TxnListReply, error) {
	return call[TxnListReply](ctx, c, methodTxnList, TxnListRequest{})
}

// TxnFollow hands each event of a transaction to event, in order, until the transaction
// ends, and returns how it ended. An error of event ends the following alone.
func (c *Client) TxnFollow(ctx context.Context, r TxnFollowRequest, event func(txn.Event) error) (TxnFollowReply, error) {
	return callLines[TxnFollowReply](ctx, c, methodTxnFollow, r, event)
}

// Logs copies a log to out.
func (c *Client) Logs(ctx context.Context, r LogsRequest, out io.Writer) error {
	_, err := callStream[struct{}](ctx, c, methodLogs, r, func(in io.Reader) error {
		_, err := io.Copy(out, in)
		return err
	})
	return err
}

// Probe has the host ask its questions and hands each outcome over as it comes.
func (c *Client) Probe(ctx context.Context, r probe.Request, outcome func(probe.Outcome) error) error {
	_, err := callLines[struct{}](ctx, c, methodProbe, r, outcome)
	return err
}

// Listen has the host listen until ctx ends, which is no error, and hands over what it
// tells.
func (c *Client) Listen(ctx context.Context, r probe.ListenRequest, event func(probe.ListenEvent) error) error {
	_, err := callLines[struct{}](ctx, c, methodListen, r, event)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Survey asks what takes longer than facts.
func (c *Client) Survey(ctx context.Context, r survey.Request) (survey.Reply, error) {
	return call[survey.Reply](ctx, c, methodSurvey, r)
}

// Backups asks for the backups of the host's database.
func (c *Client) Backups(ctx context.Context, r BackupsRequest) (BackupsReply, error) {
	return call[BackupsReply](ctx, c, methodBackups, r)
}

// Answer answers a step that asks who follows.
func (c *Client) Answer(ctx context.Context, a step.Answer) error {
	_, err := call[struct{}](ctx, c, methodAnswer, a)
	return err
}

// Solve has the host's apt say what an installation would fetch, as apt.Ask.
func (c *Client) Solve(ctx context.Context, q apt.Question) ([]string, error) {
	reply, err := call[SolveReply](ctx, c, methodSolve, q)
	return reply.Files, err
}

// Prove has the host's apt plan packages from the run's bundle alone; it has to be carried.
func (c *Client) Prove(ctx context.Context, r ProveRequest) (ProveReply, error) {
	return call[ProveReply](ctx, c, methodProve, r)
}

// Carry has the host's own programs reach this side's handler StreamCarried.
func (c *Client) Carry(ctx context.Context, r CarryRequest) (CarryReply, error) {
	return call[CarryReply](ctx, c, methodCarry, r)
}

// TxnConfirm answers a transaction that waits to be confirmed.
func (c *Client) TxnConfirm(ctx context.Context, r TxnConfirmRequest) error {
	_, err := call[struct{}](ctx, c, methodTxnConfirm, r)
	return err
}

// Lease asks for the site's lease, of the host that keeps it.
func (c *Client) Lease(ctx context.Context, r LeaseRequest) (LeaseReply, error) {
	return call[LeaseReply](ctx, c, methodLease, r)
}

// Revoke has the host take no key of unattended runs any more.
func (c *Client) Revoke(ctx context.Context, r RevokeRequest) (RevokeReply, error) {
	return call[RevokeReply](ctx, c, methodRevoke, r)
}

// Engine asks what the host's media engine does now.
func (c *Client) Engine(ctx context.Context, a wowza.Access) (wowza.State, error) {
	return call[wowza.State](ctx, c, methodEngine, a)
}

// Support has the host gather what support asks for, and hands it over piece by piece.
func (c *Client) Support(ctx context.Context, r support.Request, part func(support.Part) error) error {
	_, err := callLines[struct{}](ctx, c, methodSupport, r, part)
	return err
}

// callLines makes one typed call that is answered by one thing a line.
func callLines[Resp, Thing, Req any](ctx context.Context, c *Client, method string, req Req, each func(Thing) error) (Resp, error) {
	return callStream[Resp](ctx, c, method, req, func(in io.Reader) error {
		return eachLine(in, func(line json.RawMessage) error {
			var t Thing
			if err := json.Unmarshal(line, &t); err != nil {
				return fmt.Errorf("reading an event of %s: %w", method, err)
			}
			return each(t)
		})
	})
}

// call makes one typed call.
func call[Resp any](ctx context.Context, c *Client, method string, req any) (Resp, error) {
	var resp Resp
	err := c.rpc.CallResult(ctx, method, req, &resp)
	return resp, c.explain(ctx, method, err)
}

// callStream makes one typed call whose bytes come on a stream of its own, read by
// read. Stream and call go out together, so this too costs one round trip.
func callStream[Resp, Req any](ctx context.Context, c *Client, method string, req Req, read func(io.Reader) error) (Resp, error) {
	name := "call/" + strconv.FormatInt(c.streams.Add(1), 10)
	in, err := c.mux.open(name)
	if err != nil {
		var none Resp
		return none, c.explain(ctx, method, err)
	}
	defer in.Close()
	calling, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(calling, func() { giveUp(in) })()
	finished := make(chan error, 1)
	go func() {
		err := read(in)
		if err != nil {
			cancel()
		}
		finished <- err
	}()
	resp, err := call[Resp](calling, c, method, streamed[Req]{Stream: name, Params: req})
	if err != nil {
		giveUp(in)
	}
	readErr := <-finished
	if stopped := ctx.Err() == nil && errors.Is(err, context.Canceled); err == nil || stopped && readErr != nil {
		err = readErr
	}
	return resp, err
}

// giveUp ends reading. Closing alone does not: the far side closes its half only if it
// has heard of the call at all.
func giveUp(in net.Conn) {
	_ = in.SetReadDeadline(time.Unix(1, 0)) // it fails on a stream that has ended
	in.Close()
}

// eachLine hands over lines of JSON.
func eachLine(in io.Reader, event func(json.RawMessage) error) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && values(line) > maxValues {
			err = tooMuch("a line of more than %d values", maxValues)
		}
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		if err := event(line); err != nil {
			return err
		}
	}
}

// readLine is the next line without its end. What has none by the end of the stream is none.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, tooMuch("a line of more than %d bytes", maxLine)
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(line, []byte("\n")), err
		}
	}
}

// explain says why a call failed: the host's own problem as it is, the caller's giving
// up as such, and a lost channel with what ended it.
func (c *Client) explain(ctx context.Context, method string, err error) error {
	var remote *jrpc2.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &remote) && remote.Code == codeProblem:
		return fromWire(err)
	case ctx.Err() != nil:
		return fmt.Errorf("calling %s on %s: %w", method, c.host, ctx.Err())
	case c.mux.session.IsClosed():
		<-c.done
		return fmt.Errorf("calling %s on %s: the agent's channel is closed: %w", method, c.host, c.endErr)
	}
	return fmt.Errorf("calling %s on %s: %w", method, c.host, err)
}
