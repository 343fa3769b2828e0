package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

func newStatus(g *globals) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "List the practice site's hosts and what stands around them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			return printStatus(cmd.Context(), l, cmd.OutOrStdout(), format)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "`format`: text or json")
	return cmd
}

func printStatus(ctx context.Context, l *lab.Lab, out io.Writer, format string) error {
	status, err := l.Status(ctx)
	if err != nil {
		return err
	}
	switch format {
	case "json":
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(status); err != nil {
			return fmt.Errorf("printing the status: %w", err)
		}
		return nil
	case "text":
		return printStatusTable(out, status)
	}
	return fmt.Errorf("format %q: use text or json", format)
}

func printStatusTable(out io.Writer, status lab.Status) error {
	if len(status.Members) == 0 {
		_, err := fmt.Fprintf(out, "the lab %s is not up: valtlab up\n", status.Name)
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tKIND\tADDRESS\tSTATE\tNOTE")
	for _, m := range status.Members {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", m.Name, m.Kind, m.Address, m.State, m.Note)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the status: %w", err)
	}
	return nil
}
