package main

import "github.com/spf13/cobra"

func newReset(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "reset [HOST...]",
		Short: "Make hosts bare again, all of them if none is named",
		RunE: func(cmd *cobra.Command, names []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			return l.Reset(cmd.Context(), names...)
		},
	}
}
