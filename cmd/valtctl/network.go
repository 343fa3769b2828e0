package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/repos/problem"
)

func (a *app) networkCommand() *cobra.Command {
	var row string
	var hosts []string
	cmd := &cobra.Command{
		Use: "network", Short: "List the network flows that the vendor's page asks of this site", Args: cobra.NoArgs,
		Long: "List the network flows that the vendor's page asks of this site, and, marked advisory, those that it leaves out.\nNothing is asked of the network.",
	}
	cmd.Flags().StringVar(&row, "row", "", "only flows of this requirement, by the `id` of a row (client.https) or of a flow")
	cmd.Flags().StringSliceVar(&hosts, "for", nil, "only flows from or to this `host` (repeatable)")
	cmd.RunE = a.action([]string{"table", "csv", "json"}, func(context.Context, []string) (report, error) {
		return a.network(row, hosts)
	})
	return cmd
}

func (a *app) network(row string, hosts []string) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	for _, h := range hosts {
		if _, ok := s.Host(h); !ok {
			return report{}, unknownHost(s, h)
		}
	}
	flows := network.Flows(s)
	if row != "" {
		if flows, err = flowsOf(flows, row); err != nil {
			return report{}, err
		}
	}
	if hosts = append(hosts, a.flags.hosts...); len(hosts) > 0 {
		flows = slices.DeleteFunc(flows, func(f network.Flow) bool { return !slices.ContainsFunc(hosts, f.Touches) })
	}
	return report{value: flows, as: map[string]func(io.Writer) error{
		"table": func(w io.Writer) error { return writeFlows(w, flows) },
		"csv":   func(w io.Writer) error { return network.WriteCSV(w, flows) },
	}}, nil
}

// flowsOf keeps the flows of one row, or the one with that id. A row that does not apply
// to the site keeps none.
func flowsOf(flows []network.Flow, id string) ([]network.Flow, error) {
	var rows []string
	for _, t := range network.Tables() {
		for _, r := range t.Rows {
			rows = append(rows, r.ID)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(flows), func(f network.Flow) bool {
		return f.ID != id && !slices.Contains(f.Rows, id)
	})
	if len(kept) == 0 && !slices.Contains(rows, id) {
		name, _, _ := strings.Cut(id, "/")
		return nil, usage(fmt.Errorf("there is no requirement or flow %q", id), fmt.Sprintf("did you mean %q? valtctl network lists the ids", problem.Nearest(name, rows)))
	}
	return kept, nil
}

func writeFlows(w io.Writer, flows []network.Flow) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "SOURCE\tADDRESS\tDESTINATION\tADDRESS\tPORT\tSERVICE\tBASIS\tID")
	for _, f := range flows {
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Source.Name, f.Source.Address,
			f.Destination.Name, f.Destination.Address, portOf(f), f.Service, f.Basis, f.ID)
	}
	return tab.Flush()
}

// portOf is "tcp/443", or the protocol alone where it has no ports.
func portOf(f network.Flow) string {
	if f.Port == 0 {
		return string(f.Protocol)
	}
	return fmt.Sprintf("%s/%d", f.Protocol, f.Port)
}
