package fleet

import (
	"context"
	"errors"
	"io"
	"os"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/site"
)

// Dialer starts the agent on a host, over SSH or on this machine itself, and returns the
// channel to it; closing that ends the agent and the connection. An agent that has to be
// uploaded is told to progress, in bytes.
type Dialer func(ctx context.Context, h site.Host, progress func(done, total int64)) (io.ReadWriteCloser, error)

// open connects to a host and speaks to its agent. The host's programs may read from then on
// from the bundle that c is; nil: there is none.
func (dial Dialer) open(ctx context.Context, h site.Host, obs event.Observer, c *Carrier) (*agent.Client, error) {
	obs.Observe(event.Event{Kind: event.Connect, Host: h.Name, Text: "connecting to " + string(h.Address)})
	channel, err := dial(ctx, h, func(done, total int64) {
		obs.Observe(event.Event{Kind: event.Connect, Host: h.Name, Text: "uploading the agent", Done: done, Total: total})
	})
	if err != nil {
		return nil, err
	}
	bundle := c.over()
	client, err := agent.NewClient(ctx, channel, h.Name, bundle.streams())
	if err != nil {
		return nil, errors.Join(err, ignoreClosed(channel.Close()))
	}
	if err := bundle.begin(ctx, h.Name, client); err != nil {
		return nil, errors.Join(err, ignoreClosed(client.Close()))
	}
	return client, nil
}

// ignoreClosed drops what tells only that the far side is gone.
func ignoreClosed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}
