package main

import (
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/relay"
)

func newRelay(g *globals) *cobra.Command {
	var listen string
	r := relay.Relay{}
	cmd := &cobra.Command{
		Use:   "relay TARGET:PORT",
		Short: "Listen on this machine and carry connections to a host with a delay, until interrupted",
		Long: "Listen on this machine and carry connections to a host with a delay in each direction: --delay 40ms makes a\n" +
			"round trip 80 ms longer. The address it listens on is printed. Throughput is kept unless --rate limits it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Target = args[0]
			if _, _, err := net.SplitHostPort(r.Target); err != nil {
				return fmt.Errorf("reading the target: %w", err)
			}
			listener, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return fmt.Errorf("listening: %w", err)
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), listener.Addr()); err != nil {
				return fmt.Errorf("printing the address: %w", err)
			}
			return r.Serve(cmd.Context(), listener)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`address` to listen on")
	cmd.Flags().DurationVar(&r.Delay, "delay", 40*time.Millisecond, "delay of each direction")
	cmd.Flags().Int64Var(&r.Rate, "rate", 0, "limit of each direction in `bytes` a second (default none)")
	return cmd
}
