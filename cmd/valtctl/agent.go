package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/host"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/restrict"
	"ipivs.com/valtctl/installer/step"
)

// agentCommand is what installer/remote starts on a host. It speaks the agent's
// protocol on its standard streams and ends when they do.
func (a *app) agentCommand() *cobra.Command {
	var once, restricted bool
	var key string
	var ahead time.Duration
	c := &cobra.Command{
		Use: "agent NONCE", Short: "Serve a controller on the standard streams", Args: cobra.MaximumNArgs(1), Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if restricted != (len(args) == 0) || restricted && once || !restricted && key != "" {
				return usage(errors.New("an agent is given a nonce, or is restricted"), "it is started by valtctl itself")
			}
			a.stage = running
			if restricted {
				clock := restrict.Clock{Now: a.now, Ahead: ahead, Given: cmd.Flags().Changed("ahead")}
				return a.serveAgent(cmd.Context(), remote.RestrictedNonce, once, a.restricted(key, clock))
			}
			return a.serveAgent(cmd.Context(), args[0], once, everything)
		},
	}
	c.Flags().BoolVar(&restricted, "restricted", false, "take nothing but what unattended runs may ask for")
	c.Flags().StringVar(&key, "key", "", "the `name` of the key that it is started with")
	c.Flags().DurationVar(&ahead, "ahead", 0, "judge the windows by a clock that is so far ahead of the host's own, for practice")
	c.Flags().BoolVar(&once, "once", false, "remove this program first, and change nothing else")
	return c
}

// everything is what a person's own login may ask for.
func everything(_ context.Context, side *host.Side) (agent.Handlers, error) {
	return side.Handlers(), nil
}

func (a *app) serveAgent(ctx context.Context, nonce string, once bool, calls func(context.Context, *host.Side) (agent.Handlers, error)) error {
	l, _, err := a.launcher()
	if err != nil {
		return err
	}
	side := host.Side{Kinds: step.NewRegistry(stepKinds()), Launcher: l, Now: a.now}
	handlers, err := calls(ctx, &side)
	if err != nil {
		return err
	}
	if once {
		if err := remote.RemoveOnce(l.Agent); err != nil {
			return err
		}
		// A transaction runs by a program that is still there after a reboot.
		handlers.TxnStart, handlers.TxnRestart, handlers.Answer = nil, nil, nil
	}
	// A line of its own, in case the login shell printed a line without an end.
	if _, err := fmt.Fprintf(a.raw.out, "\n%s\n", remote.Ready(nonce)); err != nil {
		return fmt.Errorf("announcing the agent: %w", err)
	}
	return agent.Serve(ctx, agent.Stdio(a.in, a.raw.out), handlers)
}
