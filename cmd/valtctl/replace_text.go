package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"text/tabwriter"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/updater"
)

// writeReplacement is a replacement for people: what it did, or would do.
func writeReplacement(w io.Writer, r *updater.ReplaceResult) error {
	if r.Report == nil && !r.Written {
		return writeReplacementPreview(w, r.Preview, true)
	}
	p := &printer{w: w}
	if r.Report != nil {
		p.printf("replace %s → %s, release %s, plan %s\n", r.Preview.Old, r.Preview.New, r.Preview.Release, r.Preview.Digest)
		for _, h := range r.Report.Hosts {
			p.printf("%-10s %s", h.Host, replaceWord(r, h))
			if h.Reason != "" {
				p.printf(": %s", h.Reason)
			}
			p.printf("\n")
		}
	}
	if r.Written {
		p.printf("%s has the place of %s, and the site file says so\n", r.Preview.New, r.Preview.Old)
	}
	for _, n := range r.Notes {
		p.printf("note: %s\n", n)
	}
	return p.err
}

// replaceWord is what a host came to.
func replaceWord(r *updater.ReplaceResult, h updater.HostRecord) string {
	if h.Outcome != updater.Updated {
		return string(h.Outcome)
	}
	switch h.Host {
	case r.Preview.Old:
		return "at rest"
	case r.Preview.New:
		return "serves"
	}
	return "knows " + r.Preview.New
}

// writeReplacementPreview is what a replacement would do, with the difference for firewalls and diffs
// where they are wanted.
func writeReplacementPreview(w io.Writer, pre *updater.ReplacePreview, whole bool) error {
	p := &printer{w: w}
	if whole {
		for _, h := range pre.Hosts {
			writeStepPreviews(p, h)
		}
	}
	p.printf("replace %s → %s", pre.Old, pre.New)
	if pre.Digest != "" {
		p.printf(", release %s, plan %s", pre.Release, pre.Digest)
	}
	p.printf("\n")
	for i, h := range pre.Hosts {
		switch {
		case i == 0:
			p.printf("%-10s is made ready: %s; then it serves\n", h.Host, count(len(h.Steps), "step"))
		case len(h.Steps) == 0:
			p.printf("%-10s stays as it is\n", h.Host)
		default:
			p.printf("%-10s is told the new address: %s, no sessions meanwhile\n", h.Host, count(len(h.Steps), "step"))
		}
		for _, n := range h.Notes {
			p.printf("%-10s note: %s\n", "", n)
		}
	}
	for _, n := range pre.Notes {
		p.printf("note: %s\n", n)
	}
	if pre.Tried > 0 {
		p.printf("network: %s of %s tried from where they start\n", count(pre.Tried, "flow"), pre.New)
	}
	if p.err != nil || !whole {
		return p.err
	}
	p.printf("\nThe firewall request, by what it differs:\n\n")
	if p.err != nil {
		return p.err
	}
	return writeChange(w, pre.Network)
}

func changeReport(c network.Change) report {
	return report{value: c, as: map[string]func(io.Writer) error{
		"table": func(w io.Writer) error { return writeChange(w, c) },
		"csv":   func(w io.Writer) error { return writeChangeCSV(w, c) },
	}}
}

// changeLine is one line of the difference.
type changeLine struct {
	what string
	network.Item
}

// changeLines are what is to be opened, then what may be closed.
func changeLines(c network.Change) []changeLine {
	var all []changeLine
	for _, i := range c.New {
		all = append(all, changeLine{"open", i})
	}
	for _, i := range c.Away {
		all = append(all, changeLine{"close afterwards", i})
	}
	return all
}

func writeChange(w io.Writer, c network.Change) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := &printer{w: t}
	p.printf("CHANGE\tFROM\tTO\tPORT\tSERVICE\tBASIS\n")
	for _, l := range changeLines(c) {
		p.printf("%s\t%s\t%s\t%s\t%s\t%s\n", l.what, l.Source.Address, l.Destination.Address, l.Asked(), l.Service, l.Basis)
	}
	if p.err != nil {
		return p.err
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	p = &printer{w: w}
	p.printf("\nWhat may be closed is needed until the replacement is done, and SSH to the old server until its recordings are moved.\n")
	return p.err
}

func writeChangeCSV(w io.Writer, c network.Change) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"change", "id", "source", "source_address", "destination", "destination_address", "protocol", "port", "service", "basis"}}
	for _, l := range changeLines(c) {
		port := ""
		if l.Port != 0 {
			port = fmt.Sprint(l.Port)
		}
		rows = append(rows, []string{l.what, l.ID, l.Source.Name, l.Source.Address, l.Destination.Name, l.Destination.Address, string(l.Protocol), port, l.Service, string(l.Basis)})
	}
	for _, row := range rows {
		for i := range row {
			row[i] = plain.Cell(row[i])
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("writing the result: %w", err)
		}
	}
	out.Flush()
	return out.Error()
}
