package main

import (
	"github.com/spf13/cobra"

	"ipivs.com/valtctl/repos/publish"
)

func (a *app) channelCommand() *cobra.Command {
	channel := &cobra.Command{Use: "channel", Short: "Point channels to releases"}
	channel.AddCommand(&cobra.Command{
		Use: "set NAME VERSION", Short: "Point a channel to a published release", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.change(func(r *publish.Repository) (string, error) {
				return "channel " + args[0] + " is now " + args[1], r.SetChannel(args[0], args[1])
			})
		},
	})
	return channel
}
