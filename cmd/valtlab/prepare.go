package main

import "github.com/spf13/cobra"

func newPrepare(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "prepare",
		Short: "Make this machine ready for the tests, without starting a practice site",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			return l.Prepare(cmd.Context())
		},
	}
}
