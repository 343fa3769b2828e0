package main

import (
	"context"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/updater/schedule"
)

func (a *app) scheduleRotateCommand() *cobra.Command {
	return a.changing(&cobra.Command{
		Use: "rotate", Short: "Give the site's unattended updates another key", Args: cobra.NoArgs,
		Long: `Give the site's unattended updates another key, since the former one may be in other hands. The
application server (in VALT Cloud: the first media server) makes a new one, and the others take that
alone. From its first moment the former key is refused on every server that can be reached, also
where somebody is connected with it.

It works without the application server, too, which may be stolen or broken: then no server that was
reached takes a key any more, and "schedule enable" gives the site a new one once it is there again.
Servers that cannot be reached are named, and are done by the next "schedule rotate" (exit code 3).`,
		Example: "  valtctl schedule rotate --dry-run\n  valtctl schedule rotate --yes",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.scheduled(ctx, schedule.Rotate, "the former key is refused, and the servers take another one")
		}),
	})
}
