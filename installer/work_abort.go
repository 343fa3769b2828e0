package installer

import (
	"context"
	"errors"
	"fmt"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/repos/problem"
)

// CallOff has a host take back a transaction that an earlier run left, and follows it to
// its end. Nothing is cut off in its middle: an apply half that has begun is done first.
// One that was confirmed by then stays. The lease must be held.
func (w *Work) CallOff(ctx context.Context, u Unfinished, why string) (Done, error) {
	i, err := w.index(u.Host)
	if err != nil {
		return Done{}, err
	}
	s := w.session(i)
	if s == nil {
		return Done{}, fmt.Errorf("host %s: %w", u.Host, errNoSession)
	}
	token, err := w.fenced()
	if err != nil {
		return Done{}, err
	}
	err = s.client.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: u.ID, Undo: why, Fence: token})
	switch {
	case err == nil:
	case !saidByHost(err) || problem.KindOf(err) == problem.Locked || !u.WayBack:
		return Done{}, fmt.Errorf("host %s: %w", u.Host, err)
	default: // it has ended, or was confirmed, since it was looked at: how, following it tells
		w.Observer.Observe(event.Event{Kind: event.Note, Host: u.Host, Text: oneLine(err)})
	}
	return w.Adopt(ctx, u, func(context.Context) error { return errors.New(why) })
}
