package main

import (
	"context"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer"
)

func (a *app) resumeCommand() *cobra.Command {
	return a.changing(&cobra.Command{
		Use: "resume", Short: "Follow and finish what was begun", Args: cobra.NoArgs,
		Long: `Follow transactions that still run on the hosts, go on with those that were cut off by a
reboot, and finish the installation on hosts that had not begun. Any machine with the site
file and its secrets can do it, not only the one that began.`,
		Example: "  valtctl resume --yes",
		RunE:    a.action([]string{"text", "json"}, a.resume),
	})
}

func (a *app) resume(ctx context.Context, _ []string) (report, error) {
	return a.perform(ctx, installer.Resume)
}
