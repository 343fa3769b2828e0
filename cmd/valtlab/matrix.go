package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/scenario"
	"ipivs.com/valtctl/cmd/valtlab/scenario/cases"
)

func newScenarioMatrix(g *globals) *cobra.Command {
	var o runOptions
	var only []string
	cmd := &cobra.Command{
		Use:   "matrix [NAME...]",
		Short: "Run scenarios on each Ubuntu with each image store",
		Long: "Run scenarios on each Ubuntu with each image store: the lab is brought up so that all hosts bear one, and the\n" +
			"next one after it. A table of the verdicts comes last; the exit code is 1 if any failed. A suite that moves from\n" +
			"day to day and cannot be built today is said and left out. Without a name these are run: " + strings.Join(scenario.EveryCell(), ", ") + ".",
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := o.begin(cmd); err != nil {
				return err
			}
			cells, err := scenario.ChooseCells(only)
			if err != nil {
				return err
			}
			if len(names) == 0 {
				names = scenario.EveryCell()
			}
			return g.runMatrix(cmd.Context(), cells, names, o)
		},
	}
	runFlags(cmd, &o)
	cmd.Flags().StringSliceVar(&only, "only", nil, "the `cells` to run, each some words of one's name in the table, such as 22.04 or \"26.04 trixie\"")
	return cmd
}

// mediaServers are as many as scenarios want of a lab: rollouts that are run whole look at a site of three.
func mediaServers(sample bool) int {
	if sample {
		return 2
	}
	return 3
}

func (g *globals) runMatrix(ctx context.Context, cells []lab.Bears, names []string, o runOptions) error {
	l, err := g.open()
	if err != nil {
		return err
	}
	m := scenario.Matrix{
		Cells: cells, Names: names, Suite: cases.All,
		Raise: func(ctx context.Context, b lab.Bears) error {
			return raise(ctx, l, lab.UpOptions{Media: mediaServers(o.Sample), Cameras: 4}, b)
		},
		Campaign: func(cell string) scenario.Campaign {
			return scenario.Campaign{File: l.Path("campaign-" + cell + ".json"), Resume: o.resume, SeedGiven: o.seedGiven}
		},
	}
	passed, err := m.Run(ctx, l, o.Options)
	if err == nil && !passed {
		err = exitError(1)
	}
	return err
}
