package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/cmd/valtlab/scenario"
	"ipivs.com/valtctl/cmd/valtlab/scenario/cases"
)

func newScenario(g *globals) *cobra.Command {
	cmd := &cobra.Command{Use: "scenario", Short: "List and run the acceptance cases"}
	cmd.AddCommand(newScenarioList(), newScenarioRun(g), newScenarioMatrix(g))
	return cmd
}

func newScenarioList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the scenarios",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, s := range cases.All().Scenarios {
				fmt.Fprintf(table, "%s\t%s\n", s.Name, s.Summary)
			}
			if err := table.Flush(); err != nil {
				return fmt.Errorf("listing the scenarios: %w", err)
			}
			return nil
		},
	}
}

// runOptions are the flags of scenario run.
type runOptions struct {
	scenario.Options
	bears             lab.Bears
	resume, seedGiven bool
}

func newScenarioRun(g *globals) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run NAME...|all|core",
		Short: "Run scenarios on the lab, which must be up",
		Long: "Run scenarios on the lab, which must be up. Each prints what it measured and ends in PASS or FAIL; the exit\n" +
			"code is 1 if any failed. Several share what an undisturbed installation looks like. core is a fixed core and what\n" +
			"the seed draws from the groups of the others in turn, as long as four minutes have room for it, and prints which.\n" +
			"With --ubuntu, --suite or --image-store the lab is brought up so first, and stays so.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := o.begin(cmd); err != nil {
				return err
			}
			return g.runScenarios(cmd.Context(), names, o)
		},
	}
	runFlags(cmd, &o)
	bearsFlags(cmd, &o.bears)
	return cmd
}

// runFlags are those of everything that runs scenarios.
func runFlags(cmd *cobra.Command, o *runOptions) {
	flags := cmd.Flags()
	flags.Uint64Var(&o.Seed, "seed", 0, "repeat the run of this seed (default: a new one)")
	flags.IntVar(&o.Count, "count", 1, "how many variants to try")
	flags.BoolVar(&o.Sample, "sample", false, "quick variants, which disturb one host instead of all")
	flags.BoolVar(&o.resume, "resume", false, "skip what has passed with the same seed and build; without --seed, go on with the last one")
	flags.StringVar(&o.Valtctl, "valtctl", "bin/valtctl", "`path` of the product")
}

// begin fills in what the flags leave to the moment.
func (o *runOptions) begin(cmd *cobra.Command) (err error) {
	o.Now, o.Out, o.seedGiven = time.Now, cmd.OutOrStdout(), cmd.Flags().Changed("seed")
	if !o.seedGiven {
		o.Seed = uint64(time.Now().UnixNano())
	}
	if o.Valtctl, err = filepath.Abs(o.Valtctl); err != nil {
		return fmt.Errorf("finding valtctl: %w", err)
	}
	return nil
}

func (g *globals) runScenarios(ctx context.Context, names []string, o runOptions) error {
	l, err := g.open()
	if err != nil {
		return err
	}
	suite := cases.All()
	chosen, err := choose(suite.Scenarios, names, o)
	if err != nil {
		return err
	}
	if o.bears != (lab.Bears{}) {
		asked, err := l.Asked()
		if err == nil {
			err = raise(ctx, l, asked, o.bears)
		}
		if err != nil {
			return err
		}
	}
	if len(chosen) == 1 && !o.resume { // its verdict is the last line
		if !scenario.Run(ctx, chosen[0], l, o.Options) {
			return exitError(1)
		}
		return nil
	}
	campaign := scenario.Campaign{Resume: o.resume, SeedGiven: o.seedGiven, Leave: suite.Leave}
	if o.resume || slices.Equal(names, []string{"all"}) {
		campaign.File = l.Path("campaign.json")
	}
	passed, err := campaign.Run(ctx, chosen, l, o.Options)
	if err == nil && !passed {
		err = exitError(1)
	}
	return err
}

// raise brings the lab up as it is asked for, but with hosts that bear something else.
func raise(ctx context.Context, l *lab.Lab, asked lab.UpOptions, b lab.Bears) error {
	asked.Bears, asked.Hooks = b, releases.Hooks()
	return l.Up(ctx, asked)
}

// choose finds the scenarios that the words of the command line stand for.
func choose(all []scenario.Scenario, names []string, o runOptions) ([]scenario.Scenario, error) {
	switch {
	case slices.Equal(names, []string{"all"}):
		return all, nil
	case slices.Equal(names, []string{"core"}):
		if o.resume {
			return nil, fmt.Errorf("running the core: what it draws goes by the seed, so --resume is for all or for names")
		}
		chosen, left := scenario.DrawCore(all, o.Seed)
		return chosen, scenario.TellDraw(o.Out, chosen, left, o.Seed)
	}
	var chosen []scenario.Scenario
	for _, name := range names {
		s, err := scenario.Find(all, name)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}
