package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/reliability"
	"ipivs.com/valtctl/cmd/valtlab/scenario/cases"
)

func newReliability(g *globals) *cobra.Command {
	var root, counts string
	var keep, mistakes bool
	cmd := &cobra.Command{
		Use:   "reliability",
		Short: "Write docs/reliability.md: what is promised, where it is tried, and what that showed",
		Long: "Write docs/reliability.md from testdata/promises.yaml, the table of mistakes and what the last whole runs showed.\n" +
			"With --keep it first takes over what the campaign in the lab's folder and the tests' file of counts show.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			at, err := filepath.Abs(root)
			if err != nil {
				return fmt.Errorf("finding %s: %w", root, err)
			}
			in := reliability.Inputs{Root: at}
			for _, s := range cases.All().Scenarios {
				in.Scenarios = append(in.Scenarios, s.Name)
			}
			if keep {
				if err := in.Keep(filepath.Join(g.dir, "campaign.json"), counts, mistakes, time.Now()); err != nil {
					return err
				}
			}
			return in.Write()
		},
	}
	cmd.Flags().StringVar(&root, "module", ".", "root `folder` of the module")
	cmd.Flags().BoolVar(&keep, "keep", false, "take over what a campaign showed")
	cmd.Flags().BoolVar(&mistakes, "mistakes", false, "with --keep: the whole table of mistakes was run, and is as survivors.txt says")
	cmd.Flags().StringVar(&counts, "counts", "", "`file` of what the tests of a whole run counted (VALTCTL_TEST_COUNTS)")
	return cmd
}
