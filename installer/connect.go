package installer

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

// Connect starts the agent on a host, over SSH or on this machine itself, and returns the
// channel to it; closing that ends the agent and the connection. An agent that has to be
// uploaded is told to progress, in bytes.
type Connect func(ctx context.Context, h site.Host, progress func(done, total int64)) (io.ReadWriteCloser, error)

// session is one host with its agent running.
type session struct {
	host   site.Host
	client *agent.Client
}

func (s *session) close() error { return s.client.Close() }

// open connects to a host and speaks to its agent.
func (connect Connect) open(ctx context.Context, h site.Host, obs event.Observer) (*session, error) {
	return connect.carrying(ctx, h, obs, nil)
}

// carrying is open with a bundle that the host's programs may read from then on.
func (connect Connect) carrying(ctx context.Context, h site.Host, obs event.Observer, c *Carrier) (*session, error) {
	obs.Observe(event.Event{Kind: event.Connect, Host: h.Name, Text: "connecting to " + string(h.Address)})
	channel, err := connect(ctx, h, func(done, total int64) {
		obs.Observe(event.Event{Kind: event.Connect, Host: h.Name, Text: "uploading the agent", Done: done, Total: total})
	})
	if err != nil {
		return nil, err
	}
	client, err := agent.NewClient(ctx, channel, h.Name, c.streams())
	if err != nil {
		return nil, errors.Join(err, ignoreClosed(channel.Close()))
	}
	if err := c.begin(ctx, h.Name, client); err != nil {
		return nil, errors.Join(err, ignoreClosed(client.Close()))
	}
	return &session{h, client}, nil
}

// fleet is a session with each host of a run, in the site file's order.
type fleet []*session

// close ends every session. What ends with the far side already gone is no error.
func (f fleet) close() error {
	return each(len(f), func(i int) error {
		if f[i] == nil {
			return nil
		}
		return ignoreClosed(f[i].close())
	})
}

// each runs n jobs at once and joins their errors in order.
func each(n int, job func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = job(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// eachOf is each with so many jobs at a time. Once ctx ends none is begun.
func eachOf(ctx context.Context, most, n int, job func(i int) error) error {
	turn := make(chan struct{}, most)
	return each(n, func(i int) error {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		defer func() { <-turn }()
		return job(i)
	})
}

func ignoreClosed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// picked are the hosts a run is about, in the site file's order: those named, or all.
func picked(s *site.Site, names []string) ([]site.Host, error) {
	if len(names) == 0 {
		return s.Hosts, nil
	}
	for _, name := range names {
		if _, ok := s.Host(name); !ok {
			return nil, &problem.Error{Kind: problem.Input, Doing: "choosing hosts", Object: name, Err: errors.New("the site has no such host"),
				Fix: "valtctl site show lists its hosts"}
		}
	}
	var hosts []site.Host
	for _, h := range s.Hosts {
		if slices.Contains(names, h.Name) {
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}
