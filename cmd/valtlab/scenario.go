package main

import (
	"fmt"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"ipivs.com/valtctl/cmd/valtlab/scenario"
)

func newScenario(g *globals) *cobra.Command {
	cmd := &cobra.Command{Use: "scenario", Short: "List and run the acceptance cases"}
	cmd.AddCommand(newScenarioList(), newScenarioRun(g))
	return cmd
}

func newScenarioList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the scenarios",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, s := range scenario.All() {
				fmt.Fprintf(table, "%s\t%s\n", s.Name, s.Summary)
			}
			if err := table.Flush(); err != nil {
				return fmt.Errorf("listing the scenarios: %w", err)
			}
			return nil
		},
	}
}

func newScenarioRun(g *globals) *cobra.Command {
	var options scenario.Options
	cmd := &cobra.Command{
		Use:   "run NAME...",
		Short: "Run scenarios on the lab, which must be up",
		Long:  "Run scenarios on the lab, which must be up. Each prints what it measured and ends in PASS or FAIL; the exit\ncode is 1 if any failed.",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			if options.Valtctl, err = filepath.Abs(options.Valtctl); err != nil {
				return fmt.Errorf("finding valtctl: %w", err)
			}
			options.Now, options.Out = time.Now, cmd.OutOrStdout()
			if !cmd.Flags().Changed("seed") {
				options.Seed = uint64(time.Now().UnixNano())
			}
			var chosen []scenario.Scenario
			for _, name := range names {
				s, err := scenario.Find(scenario.All(), name)
				if err != nil {
					return err
				}
				chosen = append(chosen, s)
			}
			failed := false
			for _, s := range chosen {
				failed = !scenario.Run(cmd.Context(), s, l, options) || failed
			}
			if failed {
				return exitError(1)
			}
			return nil
		},
	}
	cmd.Flags().Uint64Var(&options.Seed, "seed", 0, "repeat the run of this seed (default: a new one)")
	cmd.Flags().IntVar(&options.Count, "count", 1, "how many variants to try")
	cmd.Flags().StringVar(&options.Valtctl, "valtctl", "bin/valtctl", "`path` of the product")
	return cmd
}
