package fleet

import (
	"context"
	"errors"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/sleep"
)

// How long and how often a new connection is tried before the new firewall is refused.
const (
	proveFor   = 12 * time.Second
	proveEvery = time.Second
)

// proveFirewall confirms a host's new firewall over a connection of its own, which shows that
// one can still be opened. If none can, the host is told over the connection that it is
// followed on, client, so that it need not wait and can say why.
func (f *follower) proveFirewall(ctx context.Context, client *agent.Client, nonce string) {
	trying, cancel := context.WithTimeout(ctx, proveFor)
	defer cancel()
	err := f.proveOnce(trying, nonce)
	for err != nil && sleep.For(trying, proveEvery) == nil {
		if again := f.proveOnce(trying, nonce); again == nil || trying.Err() == nil {
			err = again // what the end of time cut off says less than the try before
		}
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	// If this fails too the host puts its firewall back by itself, later.
	_ = client.Answer(ctx, step.Answer{Nonce: nonce, Refused: OneLine(err)})
}

func (f *follower) proveOnce(ctx context.Context, nonce string) error {
	client, err := f.fleet.Options.Dial.open(ctx, f.Host.Host, event.Silent{}, nil)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // it has served
	return client.Answer(ctx, step.Answer{Nonce: nonce})
}

// answerQuiet tells a host whether something is recorded elsewhere. That nobody could say is no
// yes; a controller that is stopped says nothing, and the host goes on by itself.
func (f *follower) answerQuiet(ctx context.Context, nonce string) {
	err := errors.New("this run cannot say what is recorded elsewhere")
	if f.Quiet != nil {
		err = f.Quiet(ctx)
	}
	if ctx.Err() != nil {
		return
	}
	_ = f.Answer(ctx, step.Answer{Nonce: nonce, Refused: OneLine(err)}) // unanswered the host does nothing
}
