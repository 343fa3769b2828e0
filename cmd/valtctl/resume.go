package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/updater"
)

func (a *app) resumeCommand() *cobra.Command {
	return a.carriedFlags(a.changing(&cobra.Command{
		Use: "resume", Short: "Follow and finish what was begun", Args: cobra.NoArgs,
		Long: `Follow transactions that still run on the hosts, go on with those that were cut off by a
reboot, and finish the installation, or go on with the rollout, on hosts that had not begun. Any machine with the site
file and its secrets can do it, not only the one that began.`,
		Example: "  valtctl resume --yes",
		RunE:    a.action([]string{"text", "json"}, a.resume),
	}))
}

// resume goes on with a rollout where one is unfinished, else with an installation.
func (a *app) resume(ctx context.Context, args []string) (report, error) {
	done, err := a.roll(ctx, rolling{}, updater.Resume)
	var replacement *updater.UnfinishedReplacement
	if errors.As(err, &replacement) {
		return a.resumeReplacement(ctx, replacement.Replacing, false)
	}
	if !errors.Is(err, updater.ErrNoRollout) {
		return done, err
	}
	if err := a.forgetComeback(ctx); err != nil {
		return report{}, err
	}
	done, err = a.perform(ctx, installer.Resume)
	if !errors.Is(err, installer.ErrNothingToResume) {
		return done, err
	}
	return text(nothingResult{"nothing to resume"}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, "nothing to resume")
		return err
	}), nil
}

// nothingResult is what a command comes to that found nothing to do.
type nothingResult struct {
	State string `json:"state"`
}

// forgetComeback removes what a rollout that ended elsewhere had prepared for a reboot.
func (a *app) forgetComeback(ctx context.Context) error {
	s, err := a.loadSite()
	if err != nil {
		return err
	}
	back, err := a.comeback(s)
	if err != nil || back == nil || !back.armed() {
		return err
	}
	return back.End(ctx, true)
}
