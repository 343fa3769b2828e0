package main

import (
	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

func newDown(g *globals) *cobra.Command {
	var o lab.DownOptions
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove the practice site; what was built stays cached",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			return l.Down(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.Purge, "purge", false, "remove the cache and the images too")
	cmd.Flags().BoolVar(&o.Any, "any", false, "also a practice site of this name that another checkout made, whose run was killed")
	return cmd
}
