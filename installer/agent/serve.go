package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/handler"
	"github.com/hashicorp/yamux"

	"ipivs.com/valtctl/installer/txn"
)

// Serve answers the controller on conn until the controller or ctx ends it. The
// controller's leaving is no error. Calls still running then are cancelled, and Serve
// returns when they have ended, so that nothing outlives the channel.
func Serve(ctx context.Context, conn io.ReadWriteCloser, h Handlers) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	limits := OfAController()
	if h.Limits != nil {
		limits = *h.Limits
	}
	session, err := yamux.Server(newPaced(conn), settings(limits))
	if err != nil {
		return fmt.Errorf("serving the controller: %w", err)
	}
	defer session.Close()
	defer context.AfterFunc(ctx, func() { session.Close() })()
	calls, err := session.Accept()
	if err != nil {
		return ended(ctx, err)
	}
	m := newMux(session, h.Streams, limits)
	open := newLedger(limits, false)
	if h.Controller != nil {
		h.Controller(m.open)
	}
	carried := &carrier{open: m.open, loopback: h.Loopback}
	if carried.loopback == nil {
		carried.loopback = loopback
	}
	methods := h.methods(m)
	methods[methodCancel] = cancelCall(open)
	if !h.NoCarry {
		methods[methodCarry] = answer(carried.carry)
	}
	if h.Still != nil {
		for name, do := range methods {
			methods[name] = h.stillServed(do)
		}
		go h.watch(ctx, cancel)
	}
	server := jrpc2.NewServer(methods, &jrpc2.ServerOptions{
		Concurrency: limits.Calls, // a call that follows something must not hold up the others
		NewContext:  func() context.Context { return ctx },
	}).Start(newFrames(calls, open, m.fail))
	err = m.serve(ctx)
	cancel()
	session.Close() // what is carried ends with it
	carried.close()
	// The server ends with its stream, by itself: told to stop, jrpc2 v1.3.6 panics if a
	// request is being read at that moment.
	calls.Close()
	server.Wait()
	return ended(ctx, err)
}

// ended passes over what only says that the other side has left.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, yamux.ErrSessionShutdown) {
		return nil
	}
	return fmt.Errorf("serving the controller: %w", err)
}

// methods is the table of what the host answers.
func (h Handlers) methods(m *mux) handler.Map {
	return handler.Map{
		methodFacts:      answer(h.Facts),
		methodInspect:    answer(h.Inspect),
		methodTxnStart:   answer(h.TxnStart),
		methodTxnRestart: answer(h.TxnRestart),
		methodTxnList:    answer(h.TxnList),
		methodTxnFollow:  stream(m, h.follow),
		methodLogs:       stream(m, h.logs),
		methodProbe:      stream(m, lines(h.Probe)),
		methodListen:     stream(m, lines(h.Listen)),
		methodSurvey:     answer(h.Survey),
		methodAnswer:     answer(h.Answer),
		methodTxnConfirm: answer(h.TxnConfirm),
		methodLease:      answer(h.Lease),
		methodEngine:     answer(h.Engine),
		methodSupport:    stream(m, lines(h.Support)),
		methodSolve:      answer(h.Solve),
		methodProve:      answer(h.Prove),
		methodRevoke:     answer(h.Revoke),
		methodBackups:    answer(h.Backups),
	}
}

// stillEvery is how soon a connection ends that is not to be served any more.
const stillEvery = time.Second

// stillServed answers a call if the connection is to be served still.
func (h Handlers) stillServed(do jrpc2.Handler) jrpc2.Handler {
	return func(ctx context.Context, r *jrpc2.Request) (any, error) {
		if err := h.Still(); err != nil {
			return nil, toWire(err)
		}
		return do(ctx, r)
	}
}

// watch ends the connection once it is not to be served any more, with all that streams.
func (h Handlers) watch(ctx context.Context, end context.CancelFunc) {
	tick := time.NewTicker(stillEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if h.Still() != nil {
				end()
				return
			}
		}
	}
}

// follow writes each event as one line.
func (h Handlers) follow(ctx context.Context, r TxnFollowRequest, out io.Writer) (TxnFollowReply, error) {
	if h.TxnFollow == nil {
		return TxnFollowReply{}, errNotServed
	}
	return h.TxnFollow(ctx, r, lineWriter[txn.Event](out))
}

// lines makes what hands over one thing after another write each as a line of JSON.
func lines[Req, Thing any](f func(context.Context, Req, func(Thing) error) error) func(context.Context, Req, io.Writer) (struct{}, error) {
	return func(ctx context.Context, r Req, out io.Writer) (struct{}, error) {
		if f == nil {
			return struct{}{}, errNotServed
		}
		return struct{}{}, f(ctx, r, lineWriter[Thing](out))
	}
}

// lineWriter writes each thing as a line of JSON. They may come from several goroutines.
func lineWriter[Thing any](out io.Writer) func(Thing) error {
	var writing sync.Mutex
	return func(t Thing) error {
		line, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("encoding an event: %w", err)
		}
		writing.Lock()
		defer writing.Unlock()
		if _, err := out.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("sending an event: %w", err)
		}
		return nil
	}
}

func (h Handlers) logs(ctx context.Context, r LogsRequest, out io.Writer) (struct{}, error) {
	if h.Logs == nil {
		return struct{}{}, errNotServed
	}
	return struct{}{}, h.Logs(ctx, r, out)
}

var errNotServed = errors.New("this agent does not serve the method")

// envelopeSize is more than what stands around an answer, in bytes.
const envelopeSize = 1 << 10

// answer makes a typed function a method. Parameters it does not know are an error.
func answer[Req, Resp any](f func(context.Context, Req) (Resp, error)) jrpc2.Handler {
	return func(ctx context.Context, r *jrpc2.Request) (any, error) {
		if f == nil {
			return nil, toWire(fmt.Errorf("calling %s: %w", r.Method(), errNotServed))
		}
		var req Req
		params := json.NewDecoder(strings.NewReader(r.ParamString()))
		params.DisallowUnknownFields()
		if err := params.Decode(&req); err != nil {
			return nil, toWire(fmt.Errorf("calling %s: %w", r.Method(), err))
		}
		resp, err := f(ctx, req)
		if err != nil {
			return nil, toWire(err)
		}
		text, err := json.Marshal(resp)
		if err == nil && len(text)+envelopeSize > MaxMessage { // nobody would hear of it
			err = fmt.Errorf("%d bytes, and at most %d are taken", len(text), MaxMessage)
		}
		if err != nil {
			return nil, toWire(fmt.Errorf("answering %s: %w", r.Method(), err))
		}
		return json.RawMessage(text), nil
	}
}

// streamed is the request of a method whose bytes go over a stream of its own.
type streamed[Req any] struct {
	Stream string `json:"stream"`
	Params Req    `json:"params"`
}

// stream makes a function that writes as it goes a method. The stream is closed before
// the reply is sent, so that the reply ends what the controller reads.
func stream[Req, Resp any](m *mux, f func(context.Context, Req, io.Writer) (Resp, error)) jrpc2.Handler {
	return answer(func(ctx context.Context, r streamed[Req]) (Resp, error) {
		out, err := m.claim(ctx, r.Stream)
		if err != nil {
			var none Resp
			return none, err
		}
		defer out.Close()
		return f(ctx, r.Params, out)
	})
}

// methodCancel is the notification that a caller has given up.
const methodCancel = "cancel"

type cancelRequest struct {
	ID string `json:"id"`
}

func cancelCall(open *ledger) jrpc2.Handler {
	return func(ctx context.Context, r *jrpc2.Request) (any, error) {
		if r.IsNotification() {
			defer open.heeded()
		}
		var req cancelRequest
		if err := r.UnmarshalParams(&req); err != nil {
			return nil, toWire(err)
		}
		jrpc2.ServerFromContext(ctx).CancelRequest(req.ID)
		return nil, nil
	}
}
