package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/smoke"
)

func newVisit(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "visit",
		Short: "Ask the installed site what its people would ask it",
		Long: "Ask the installed site what its people would ask it: the application's page and health from the client,\n" +
			"each media engine's version, and every camera from the media host that records it. Exit 1 if one does not answer.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			site, err := smoke.LabSite(l)
			if err != nil {
				return err
			}
			return printVisit(cmd, smoke.All(cmd.Context(), l, site))
		},
	}
}

func printVisit(cmd *cobra.Command, answers []smoke.Answer) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FROM\tASKED\tANSWER")
	for _, a := range answers {
		said := a.Said
		if a.Err != nil {
			said = "NO: " + a.Err.Error()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", a.From, a.Asked, said)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the answers: %w", err)
	}
	if smoke.Err(answers) != nil {
		return exitError(1)
	}
	return nil
}
