package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/host"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/step"
)

// agentCommand is what installer/remote starts on a host. It speaks the agent's
// protocol on its standard streams and ends when they do.
func (a *app) agentCommand() *cobra.Command {
	return &cobra.Command{
		Use: "agent NONCE", Short: "Serve a controller on the standard streams", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.stage = running
			return a.serveAgent(cmd.Context(), args[0])
		},
	}
}

func (a *app) serveAgent(ctx context.Context, nonce string) error {
	l, _, err := a.launcher()
	if err != nil {
		return err
	}
	// A line of its own, in case the login shell printed a line without an end.
	if _, err := fmt.Fprintf(a.out, "\n%s\n", remote.Ready(nonce)); err != nil {
		return fmt.Errorf("announcing the agent: %w", err)
	}
	side := host.Side{Kinds: step.NewRegistry(stepKinds()), Launcher: l, Now: a.now}
	return agent.Serve(ctx, agent.Stdio(a.in, a.out), side.Handlers())
}
