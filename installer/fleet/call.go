package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/repos/problem"
)

// How long a host may take to answer a question, and to be connected to again for it. Steps
// that look ask their engine, and a host's apt reckons; what takes longer than this tells of
// itself meanwhile (Follow, Logs, Probe) or does not answer at all.
const (
	answerWithin = 10 * time.Minute
	quickWithin  = time.Minute // for a look that others wait for: recorders, a token
	redialWithin = 45 * time.Second
)

// ErrNotConnected says that a host was not connected to.
var ErrNotConnected = errors.New("the host is not connected")

// unheard is that a host could not be asked: its link is lost and cannot be opened again, or it
// did not answer in time. What it does, and what it did of what it was asked, is not known.
type unheard struct{ err error }

func (e *unheard) Error() string { return e.err.Error() }
func (e *unheard) Unwrap() error { return e.err }

// Unheard says that an error tells nothing of the host, but that it could not be asked.
func Unheard(err error) bool {
	var u *unheard
	return errors.As(err, &u) || errors.Is(err, ErrNotConnected)
}

// saidByHost tells a host's own answer from a lost connection.
func saidByHost(err error) bool {
	var p *problem.Error
	return errors.As(err, &p) && !Unheard(err)
}

// call asks the host. A connection that is lost, or is lost on the way, is opened again once
// and the host asked again: whatever is asked this way may be asked twice. Every question to a
// host but those that stream goes through here.
func call[Reply any](ctx context.Context, h *Host, ask func(context.Context, *agent.Client) (Reply, error)) (Reply, error) {
	return callWithin(ctx, h, answerWithin, ask)
}

// callWithin is call with another time for the answer.
func callWithin[Reply any](ctx context.Context, h *Host, within time.Duration, ask func(context.Context, *agent.Client) (Reply, error)) (Reply, error) {
	client, err := h.reach(ctx, nil)
	if err != nil {
		var none Reply
		return none, h.wrap(err)
	}
	reply, err := inTime(ctx, within, client, ask)
	if err == nil || saidByHost(err) || Unheard(err) || ctx.Err() != nil {
		return reply, h.wrap(err)
	}
	if client, again := h.reach(ctx, client); again == nil {
		reply, err = inTime(ctx, within, client, ask)
	}
	if err != nil && !saidByHost(err) && ctx.Err() == nil {
		err = &unheard{err}
	}
	return reply, h.wrap(err)
}

// inTime asks once. That no answer came in time is Unheard.
func inTime[Reply any](ctx context.Context, within time.Duration, client *agent.Client, ask func(context.Context, *agent.Client) (Reply, error)) (Reply, error) {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	reply, err := ask(limited, client)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = &unheard{fmt.Errorf("it did not answer within %s: %w", within, err)}
	}
	return reply, err
}

// do is call for what is answered by no more than an error.
func (h *Host) do(ctx context.Context, ask func(context.Context, *agent.Client) error) error {
	_, err := call(ctx, h, func(ctx context.Context, c *agent.Client) (struct{}, error) { return struct{}{}, ask(ctx, c) })
	return err
}

// reach is the connection to the host, another one than lost. Where there is none it is opened
// again, once for all who wait for it.
func (h *Host) reach(ctx context.Context, lost *agent.Client) (*agent.Client, error) {
	client := h.connection()
	if client == nil {
		return nil, ErrNotConnected
	}
	if client != lost && !client.Lost() {
		return client, nil
	}
	select { // not a lock: who need not wait any more does not
	case h.dialling <- struct{}{}:
		defer func() { <-h.dialling }()
	case <-ctx.Done():
		return nil, &unheard{fmt.Errorf("waiting for the connection that is being opened again: %w", context.Cause(ctx))}
	}
	if now := h.connection(); now == nil || now != client && !now.Lost() { // somebody was faster
		if now == nil {
			return nil, ErrNotConnected
		}
		return now, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, redialWithin, fmt.Errorf("it could not be connected to again within %s", redialWithin))
	defer cancel()
	again, err := h.fleet.Options.Dial.open(ctx, h.Host, event.Silent{}, h.carrier())
	if err != nil {
		return nil, &unheard{fmt.Errorf("the connection was lost: %w", err)}
	}
	_ = client.Close()           // it is dead already; how it ends tells nothing new
	if h.replace(again) == nil { // the run has left the host meanwhile
		h.replace(nil)
		return nil, errors.Join(ErrNotConnected, ignoreClosed(again.Close()))
	}
	h.tell(event.Event{Kind: event.Note, Text: "connected again"})
	return again, nil
}
