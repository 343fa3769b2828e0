package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/releases"
)

func newPublish(g *globals) *cobra.Command {
	var agent releases.Agent
	var agentFile string
	spoil := map[releases.Spoiled]*bool{}
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Push the images and publish the releases again, or spoil what is published",
		Long: "Push the images to the world's registry and publish the releases " + releases.Stable + " (channel stable) and " +
			releases.Canary + " (channel canary).\n" +
			"With one of the flags that spoil, the world serves a repository that must not be trusted; plain publish mends it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			l, err := g.open()
			if err != nil {
				return err
			}
			o := releases.Options{}
			for way, asked := range spoil {
				if *asked {
					o.Spoil = way
				}
			}
			if agentFile != "" {
				if agent.Binary, err = os.ReadFile(agentFile); err != nil {
					return fmt.Errorf("reading the agent: %w", err)
				}
				o.Agent = &agent
			}
			if err := (&releases.Vendor{}).Publish(cmd.Context(), l, o); err != nil {
				return err
			}
			what := "whole"
			if o.Spoil != "" {
				what = "spoilt (" + string(o.Spoil) + "); valtlab publish mends it"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "published %s (stable) and %s (canary): the repository is %s\n", releases.Stable, releases.Canary, what)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&agentFile, "agent", "", "publish this `file` as valtctl's build for the hosts")
	flags.StringVar(&agent.Version, "agent-version", "", "its `version`")
	cmd.MarkFlagsRequiredTogether("agent", "agent-version")
	var ways []string
	for way, help := range map[releases.Spoiled]string{
		releases.TamperedTarget: "change what was signed",
		releases.WrongSignature: "sign with no key",
		releases.ForeignRoot:    "serve somebody else's repository",
		releases.Expired:        "let the metadata expire",
		releases.Aged:           "sign it as two hundred days ago",
	} {
		spoil[way] = flags.Bool(string(way), false, help)
		ways = append(ways, string(way))
	}
	cmd.MarkFlagsMutuallyExclusive(ways...)
	return cmd
}
