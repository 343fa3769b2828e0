package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/txn"
)

func (a *app) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history", Short: "List what was done on each server, newest first", Args: cobra.NoArgs,
		Long: `List what was done on each server, newest first, from the servers' own journals: what it came to,
how many steps were changed and how many of them taken back, and why.

STATE is done, failed, rolled-back (the server is what it was), skipped (recordings went on),
quarantined (valtctl repair), unconfirmed (it waits for a controller), running, waiting or
interrupted (valtctl resume). A release in brackets was only fetched ahead of time, or only the
gate was opened or closed.`,
		Example: "  valtctl history --host media1",
		RunE:    a.action([]string{"text", "json"}, a.history),
	}
}

func (a *app) history(ctx context.Context, _ []string) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	o, err := a.runOptions(s, event.Silent{})
	if err != nil {
		return report{}, err
	}
	all, err := status.History(ctx, o)
	return text(all, func(w io.Writer) error { return writeHistory(w, all) }), err
}

func writeHistory(w io.Writer, all []txn.Summary) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := &printer{w: t}
	p.printf("STARTED\tHOST\tRELEASE\tSTATE\tCHANGED\tTOOK\tWHO\tPLAN\tTRANSACTION\tWHY\n")
	for _, h := range all {
		p.printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.12s\t%s\t%s\n", h.Started.UTC().Format(time.DateTime), h.Host, releaseText(h), h.State,
			changedText(h), took(h.Started, h.Ended), h.Who, h.PlanDigest, h.ID, orDash(h.Words()))
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

// releaseText puts a release in brackets that the host was not brought to.
func releaseText(h txn.Summary) string {
	if h.Stage {
		return "(" + h.Release + ")"
	}
	return h.Release
}

// changedText is how many steps changed the host, and how many were taken back.
func changedText(h txn.Summary) string {
	switch {
	case h.Result == nil:
		return "-"
	case len(h.Result.Undone) > 0:
		return fmt.Sprintf("%d, %d back", h.Result.Changed, len(h.Result.Undone))
	}
	return fmt.Sprint(h.Result.Changed)
}
