package host

import (
	"context"

	"ipivs.com/valtctl/installer/probe"
)

// probe asks the network from this host.
func (s *Side) probe(ctx context.Context, r probe.Request, outcome func(probe.Outcome) error) error {
	return probe.Run(ctx, s.network(), r, outcome)
}

// listen answers on this host where nothing does, as long as the controller wants it.
func (s *Side) listen(ctx context.Context, r probe.ListenRequest, event func(probe.ListenEvent) error) error {
	return probe.Listen(ctx, s.network(), r, event)
}

// network is the host as the network's questions see it.
func (s *Side) network() probe.Env {
	return probe.Env{Now: s.Now, Root: s.Launcher.Root}
}
