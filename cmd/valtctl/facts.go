package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/status"
)

func (a *app) factsCommand() *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use: "facts", Short: "Say what each server has: Ubuntu, engine, disks, clock", Args: cobra.NoArgs,
		Example: "  valtctl facts\n  valtctl facts --full -o json >facts.json",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.facts(ctx, full)
		}),
	}
	cmd.Flags().BoolVar(&full, "full", false, "every installed package too")
	return cmd
}

// hostFacts is one host in the result of facts.
type hostFacts struct {
	Host string `json:"host"`
	facts.Facts
}

func (a *app) facts(ctx context.Context, full bool) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	o, err := a.runOptions(s, event.Silent{})
	if err != nil {
		return report{}, err
	}
	hosts, err := status.Gather(ctx, o, full)
	var all []hostFacts
	for _, h := range hosts {
		if h.Err == nil {
			all = append(all, hostFacts{h.Host, h.Facts})
		}
	}
	return text(all, func(w io.Writer) error { return writeFacts(w, all) }), err
}

func writeFacts(w io.Writer, all []hostFacts) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := &printer{w: t}
	for _, f := range all {
		p.printf("%s\t%s, %s, kernel %s, %s\n", f.Host, f.OS.Pretty, f.Arch, f.Kernel, orDash(f.Virtualization))
		p.printf("\t%s, %s memory, up %.0f s, clock %s\n", count(f.CPUs, "CPU"), sizeText(f.MemoryBytes), f.UptimeSeconds, clockText(f.Clock))
		for _, d := range f.Filesystems {
			p.printf("\t%s\t%s of %s free (%s)\n", d.Mount, sizeText(d.Free), sizeText(d.Size), d.Type)
		}
		if f.Engine != nil {
			p.printf("\tDocker %s, %s\n", f.Engine.Version, count(len(f.Engine.Containers), "container"))
		}
		if len(f.Packages) > 0 {
			p.printf("\t%s\n", count(len(f.Packages), "package"))
		}
	}
	if p.err != nil {
		return p.err
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

func clockText(c facts.Clock) string {
	if c.Synchronized {
		return "synchronised"
	}
	return "not synchronised"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func joinWords(words []string) string { return strings.Join(words, ",") }
