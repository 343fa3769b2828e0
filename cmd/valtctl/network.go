package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtctl/page"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

// networkOptions are the flags of network.
type networkOptions struct {
	row     string
	hosts   []string
	request bool
	// observed is a report of a check, whose observations are added.
	observed string
}

func (a *app) networkCommand() *cobra.Command {
	var o networkOptions
	cmd := &cobra.Command{
		Use: "network", Short: "List the network flows that the vendor's page asks of this site", Args: cobra.NoArgs,
		Long: `List the network flows that the vendor's page asks of this site, and, marked advisory, those that it leaves out.
Nothing is asked of the network.

With --request, write what an IT department is asked to open: a page to read and print, or with -o csv lines for a ticket.
With --observed, add what the check of that report was led to and no page lists: where the registry's blobs come from.
-o nft is the whole nftables ruleset of one host; -o ps1 a script that tries the flows from a Windows PC.`,
	}
	cmd.Flags().StringVar(&o.row, "row", "", "only flows of this requirement, by the `id` of a row (client.https) or of a flow")
	cmd.Flags().StringSliceVar(&o.hosts, "for", nil, "only flows from or to this `host` (repeatable)")
	cmd.Flags().BoolVar(&o.request, "request", false, "write a firewall request: with direction, purpose, and for how long")
	cmd.Flags().StringVar(&o.observed, "observed", "", "add what a check observed: a `file` that valtctl check network --save wrote")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		formats := []string{"table", "csv", "json", "html", "nft", "ps1"}
		if o.request {
			formats = []string{"html", "csv", "table", "json"}
		}
		return a.action(formats, func(context.Context, []string) (report, error) { return a.network(o) })(cmd, args)
	}
	return cmd
}

func (a *app) network(o networkOptions) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	for _, h := range o.hosts {
		if _, ok := s.Host(h); !ok {
			return report{}, unknownHost(s, h)
		}
	}
	observed, err := observedIn(s, o.observed)
	if err != nil {
		return report{}, err
	}
	flows := network.WithObserved(network.Flows(s), observed)
	if o.row != "" {
		if flows, err = flowsOf(flows, o.row); err != nil {
			return report{}, err
		}
	}
	hosts := append(o.hosts, a.flags.hosts...)
	if len(hosts) > 0 {
		flows = slices.DeleteFunc(flows, func(f network.Flow) bool { return !slices.ContainsFunc(hosts, f.Touches) })
	}
	switch {
	case a.flags.output == "nft":
		return rulesetReport(s, o.row, hosts)
	case o.request:
		return a.requestReport(s, flows, hosts), nil
	case a.flags.output == "ps1" && !slices.ContainsFunc(flows, network.Flow.FromPC):
		return report{}, usage(errors.New("no flow asked for starts at a person's or an administrator's computer"), "leave --row out, or name a row such as client.https")
	}
	return a.flowsReport(s, flows), nil
}

// observedIn are the flows that a saved report of this site was led to.
func observedIn(s *site.Site, path string) ([]network.Flow, error) {
	const doing = "reading the report"
	r, err := readBefore(doing, path)
	if r == nil || err != nil {
		return nil, err
	}
	if r.Site != s.ID {
		return nil, badReport(doing, path, fmt.Errorf("it is about site %s and not %s", r.Site, s.ID))
	}
	var all []network.Flow
	for _, one := range r.Results {
		for _, at := range one.Elsewhere {
			if one.Flow != nil {
				all = network.WithObserved(all, []network.Flow{network.Observed(*one.Flow, at)})
			}
		}
	}
	return all, nil
}

func (a *app) flowsReport(s *site.Site, flows []network.Flow) report {
	return report{value: flows, as: map[string]func(io.Writer) error{
		"table": func(w io.Writer) error { return writeFlows(w, flows) },
		"csv":   func(w io.Writer) error { return network.WriteCSV(w, flows) },
		"html":  func(w io.Writer) error { return page.Network(w, s, flows, a.now()) },
	}, files: map[string]func() []byte{
		"ps1": func() []byte { return network.PowerShell(s, flows) },
	}}
}

func (a *app) requestReport(s *site.Site, flows []network.Flow, hosts []string) report {
	items := network.Request(s, flows, hosts)
	return report{value: items, as: map[string]func(io.Writer) error{
		"table": func(w io.Writer) error { return writeRequest(w, items) },
		"csv":   func(w io.Writer) error { return network.WriteRequestCSV(w, items) },
		"html":  func(w io.Writer) error { return page.Request(w, s, items, hosts, a.now()) },
	}}
}

// rulesetReport is the firewall of the one host that is asked for, whole: with some of
// its rows alone it would cut off the others.
func rulesetReport(s *site.Site, row string, hosts []string) (report, error) {
	if row != "" {
		return report{}, usage(errors.New("a ruleset of one row would cut off all others"), "leave --row out")
	}
	if len(hosts) == 0 && len(s.Hosts) == 1 {
		hosts = []string{s.Hosts[0].Name}
	}
	if len(hosts) != 1 {
		return report{}, usage(fmt.Errorf("a ruleset is that of one host, and %d are asked for", max(len(hosts), len(s.Hosts))), "name one: --for "+s.Hosts[0].Name)
	}
	rules, err := network.Ruleset(s, hosts[0])
	if err != nil {
		return report{}, err
	}
	return report{as: map[string]func(io.Writer) error{"nft": func(w io.Writer) error {
		_, err := w.Write(rules)
		return err
	}}}, nil
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
	p := &printer{w: tab}
	p.printf("SOURCE\tADDRESS\tDESTINATION\tADDRESS\tPORT\tSERVICE\tBASIS\tID\n")
	for _, f := range flows {
		p.printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Source.Name, f.Source.Address,
			f.Destination.Name, f.Destination.Address, portOf(f), f.Service, f.Basis, f.ID)
	}
	return errors.Join(p.err, tab.Flush())
}

// writeRequest is the request for a terminal, flows that differ in their ends alone on one line.
func writeRequest(w io.Writer, items []network.Item) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := &printer{w: tab}
	p.printf("DIRECTION\tFROM\tTO\tASKED FOR\tHOW LONG\tBASIS\tPURPOSE\n")
	for _, g := range network.Groups(items) {
		p.printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.Direction, strings.Join(network.PartiesText(g.Sources), ", "),
			strings.Join(network.PartiesText(g.Destinations), ", "), g.Asked(), g.Lifetime, g.Basis, strings.TrimSpace(g.Purpose+" "+g.Unclear))
	}
	return errors.Join(p.err, tab.Flush())
}

// portOf is "tcp/443", or the protocol alone where it has no ports.
func portOf(f network.Flow) string {
	if f.Port == 0 {
		return string(f.Protocol)
	}
	return fmt.Sprintf("%s/%d", f.Protocol, f.Port)
}
