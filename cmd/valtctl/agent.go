package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/remote"
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
	// A line of its own, in case the login shell printed a line without an end.
	if _, err := fmt.Fprintf(a.out, "\n%s\n", remote.Ready(nonce)); err != nil {
		return fmt.Errorf("announcing the agent: %w", err)
	}
	return agent.Serve(ctx, agent.Stdio(a.in, a.out), a.agentHandlers())
}

// agentHandlers is what this host does for a controller.
func (a *app) agentHandlers() agent.Handlers {
	return agent.Handlers{}
}
