package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/repos/publish"
)

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "List roles, expiries, keys and releases", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			r, err := publish.Open(a.options())
			if err != nil {
				return err
			}
			return a.show(r)
		},
	}
}

func (a *app) show(r *publish.Repository) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROLE\tVERSION\tEXPIRES\tSIGNED BY")
	for _, s := range r.Show() {
		ids := make([]string, len(s.Keys))
		for i, id := range s.Keys {
			ids[i] = id[:min(8, len(id))]
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d of %s\n", s.Role, s.Version, s.Expires.Format("2006-01-02"), s.Needed, strings.Join(ids, " "))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing the roles: %w", err)
	}
	return a.say("releases: %s", strings.Join(r.Versions(), " "))
}
