package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/repos/publish"
)

func (a *app) channelCommand() *cobra.Command {
	channel := &cobra.Command{Use: "channel", Short: "Point channels to releases"}
	var percent int
	set := &cobra.Command{
		Use: "set NAME VERSION", Short: "Point a channel to a published release", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.change(func(r *publish.Repository) (string, error) {
				done := "channel " + args[0] + " is now " + args[1]
				if percent != 100 {
					done += fmt.Sprintf(", for %d%% of the sites that update unattended", percent)
				}
				return done, r.SetChannelFor(args[0], args[1], percent)
			})
		},
	}
	set.Flags().IntVar(&percent, "percent", 100, "how many of the sites that update unattended take it yet")
	channel.AddCommand(set)
	return channel
}
