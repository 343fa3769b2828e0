package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer"
)

func (a *app) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history", Short: "List what was done on each server, newest first", Args: cobra.NoArgs,
		Long: "List what was done on each server, newest first, from the servers' own journals.",
		RunE: a.action([]string{"text", "json"}, a.history),
	}
}

func (a *app) history(ctx context.Context, _ []string) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	o, err := a.runOptions(s, installer.Silent{})
	if err != nil {
		return report{}, err
	}
	all, err := installer.History(ctx, o)
	return text(all, func(w io.Writer) error { return writeHistory(w, all) }), err
}

func writeHistory(w io.Writer, all []installer.Past) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := &printer{w: t}
	p.printf("STARTED\tHOST\tRELEASE\tSTATE\tCHANGED\tTOOK\tWHO\tPLAN\tTRANSACTION\n")
	for _, h := range all {
		changed := "-"
		if h.Result != nil {
			changed = fmt.Sprint(h.Result.Changed)
		}
		p.printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.12s\t%s\n", h.Started.UTC().Format(time.DateTime), h.Host, h.Release, h.State, changed,
			took(h.Started, h.Ended), h.Who, h.PlanDigest, h.ID)
	}
	if p.err != nil {
		return p.err
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

func took(from, to time.Time) string {
	if to.IsZero() {
		return "-"
	}
	return to.Sub(from).Round(time.Second).String()
}
