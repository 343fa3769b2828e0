package main

import (
	"strings"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

func newUp(g *globals) *cobra.Command {
	options := lab.UpOptions{Hooks: releases.Hooks()}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring the practice site up, from whatever is there",
		Long: "Bring the practice site up: install what is missing on this machine with apt, start the Docker\n" +
			"engine if none answers, build or find the images, and start the hosts, the world, the client and the cameras.\n" +
			"What is up already is left alone.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			if err := l.Up(cmd.Context(), options); err != nil {
				return err
			}
			return printStatus(cmd.Context(), l, cmd.OutOrStdout(), "text")
		},
	}
	cmd.Flags().IntVar(&options.Media, "media", 2, "media hosts")
	cmd.Flags().IntVar(&options.Cameras, "cameras", 4, "cameras")
	bearsFlags(cmd, &options.Bears)
	return cmd
}

// bearsFlags say what the lab's hosts bear.
func bearsFlags(cmd *cobra.Command, b *lab.Bears) {
	flags := cmd.Flags()
	flags.StringVar(&b.Ubuntu, "ubuntu", "", "the `release` that all hosts bear: "+strings.Join(ubuntu.Versions(), ", ")+
		" (default "+ubuntu.Newest+" on media servers, "+ubuntu.Default+" on others)")
	flags.StringVar(&b.Suite, "suite", "", "the Debian `suite` that "+ubuntu.Newest+" is made of: trixie (default), or forky, which moves")
	flags.StringVar(&b.ImageStore, "image-store", "", "where Docker engines `keep` images: graphdriver or containerd (default containerd on "+ubuntu.Newest+", graphdriver on others)")
}
