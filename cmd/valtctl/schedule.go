package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater/schedule"
)

func (a *app) scheduleCommand() *cobra.Command {
	return group("schedule", "Have the site keep itself current in its maintenance windows",
		a.scheduleEnableCommand(), a.scheduleDisableCommand(), a.scheduleRotateCommand(), a.schedulePauseCommand(), a.scheduleShowCommand(), a.scheduleRunCommand())
}

func (a *app) scheduleEnableCommand() *cobra.Command {
	return a.changing(&cobra.Command{
		Use: "enable", Short: "Update the site unattended from now on", Args: cobra.NoArgs,
		Long: `Update the site unattended from now on: in the windows of the site file and outside of its blackouts,
never later than an update and its way back still fit. In the three nights before a window it looks
ahead and tells by mail and webhook (updates.notify) what will not work.

It puts a timer on the application server (in VALT Cloud: on the first media server), with a copy of
the site file and of what that names, root-only. That server makes a key of its own. The others take
it for nothing but updating themselves to a release that they have verified themselves, with the
settings that this command leaves there. So run it again after a change of the site file.

unattended-upgrades goes on, but restarts neither a server nor Docker.`,
		Example: "  valtctl schedule enable --dry-run\n  valtctl schedule enable --yes",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.scheduled(ctx, schedule.Enable, "unattended updates are enabled; see what comes when: valtctl schedule show")
		}),
	})
}

func (a *app) scheduleDisableCommand() *cobra.Command {
	return a.changing(&cobra.Command{
		Use: "disable", Short: "Update the site only by hand from now on", Args: cobra.NoArgs,
		Long: `Update the site only by hand from now on. The timer, the copy of the site file and the key are removed,
and what the other servers took the key for. Servers that cannot be reached are named, and are done
by the next "schedule disable" once they are back (exit code 3). It works without the application
server, too: then no server that was reached takes its key any more.`,
		Example: "  valtctl schedule disable --yes",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.scheduled(ctx, schedule.Disable, "unattended updates are disabled")
		}),
	})
}

// pausing are the flags of schedule pause.
type pausing struct {
	until, reason string
	lift          bool
}

func (a *app) schedulePauseCommand() *cobra.Command {
	var f pausing
	cmd := a.changing(&cobra.Command{
		Use: "pause", Short: "Begin nothing unattended for a while", Args: cobra.NoArgs,
		Long: `Begin nothing unattended for a while. A rollout that has begun is brought to its end. Updates by hand
are not held back.`,
		Example: `  valtctl schedule pause --until 2026-12-24 --reason "trial in court room 3"` + "\n  valtctl schedule pause --lift",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.schedulePause(ctx, f)
		}),
	})
	cmd.Flags().StringVar(&f.until, "until", "", "the first `day` on which it may begin again, as 2026-12-24; without it until --lift")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for whoever wonders later")
	cmd.Flags().BoolVar(&f.lift, "lift", false, "end the pause")
	return cmd
}

func (a *app) schedulePause(ctx context.Context, f pausing) (report, error) {
	switch {
	case f.lift && (f.until != "" || f.reason != ""):
		return report{}, usage(errors.New("--lift ends a pause, and --until and --reason begin one"), "give one or the other")
	case !f.lift && f.reason == "":
		return report{}, usage(errors.New("no reason is given"), "say why: --reason")
	}
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	var p *schedule.Pause
	done := "the pause is lifted"
	if !f.lift {
		p, done = &schedule.Pause{Reason: f.reason, Who: who()}, "paused until it is lifted: valtctl schedule pause --lift"
		if f.until != "" {
			if p.Until, err = midnight(s, f.until); err != nil {
				return report{}, err
			}
			done = "paused until " + f.until
		}
	}
	return a.scheduled(ctx, func(ctx context.Context, o schedule.EnableOptions) (*schedule.Change, error) {
		return schedule.SetPause(ctx, o, p)
	}, done)
}

// midnight is the begin of a day in the site's time zone.
func midnight(s *site.Site, day string) (time.Time, error) {
	zone, err := time.LoadLocation(s.Updates.Timezone)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the site's time zone: %w", err)
	}
	t, err := time.ParseInLocation(time.DateOnly, day, zone)
	if err != nil {
		return t, usage(fmt.Errorf("%q is no day", day), "write it as 2026-12-24")
	}
	return t, nil
}

// scheduled changes how the site is looked after. Without --yes a person sees first what
// would change.
func (a *app) scheduled(ctx context.Context, change func(context.Context, schedule.EnableOptions) (*schedule.Change, error), done string) (report, error) {
	if len(a.flags.hosts) > 0 {
		return report{}, usage(errors.New("a site is looked after as a whole"), "leave out --host")
	}
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	obs := a.observe()
	o, err := a.enableOptions(s, obs)
	if err != nil {
		return report{}, err
	}
	if !a.flags.yes && !a.flags.dryRun {
		tty := a.terminal()
		if tty == nil {
			return report{}, usage(errors.New("there is no terminal to ask at"), "look with --dry-run, then give --yes")
		}
		look := o
		look.DryRun = true
		found, err := change(ctx, look)
		if err != nil && (found == nil || len(found.Unreached) == 0) {
			return report{}, err
		}
		if err := writeScheduleChange(a.err, found, "", false); err != nil {
			return report{}, err
		}
		if yes, err := a.confirm(ctx, tty, "Go on?"); err != nil || !yes {
			return report{}, errors.Join(err, &problem.Error{Kind: problem.Interrupted, Doing: "changing the schedule of", Object: s.ID, Err: errDeclined})
		}
	}
	result, err := change(ctx, o)
	obs.end()
	if result == nil {
		return report{}, err
	}
	if err != nil || a.flags.dryRun {
		done = ""
	}
	return text(result, func(w io.Writer) error { return writeScheduleChange(w, result, done, a.flags.dryRun) }), err
}

// enableOptions are a run's, with how a person reaches the hosts.
func (a *app) enableOptions(s *site.Site, obs event.Observer) (schedule.EnableOptions, error) {
	base, err := a.runOptions(s, obs)
	if err != nil {
		return schedule.EnableOptions{}, err
	}
	self, err := ownBinary()
	if err != nil {
		return schedule.EnableOptions{}, err
	}
	o := schedule.EnableOptions{Options: base, Program: remote.AgentPath(self.Hash), Logins: map[string]inputs.Login{}}
	for _, h := range s.Hosts {
		at, err := remote.HowReached(a.connection(s, h))
		if err != nil {
			return o, err
		}
		o.Logins[h.Name] = inputs.Login{User: at.User, Port: at.Port}
		o.KnownHosts = append(o.KnownHosts, at.KnownHosts...)
	}
	return o, nil
}

func writeScheduleChange(w io.Writer, c *schedule.Change, done string, diffs bool) error {
	p := &printer{w: w}
	for _, h := range c.Hosts {
		if diffs && h.Diff != "" {
			p.printf("=== %s\n%s", h.Host, block(h.Diff))
		}
	}
	for _, h := range c.Hosts {
		p.printf("%-10s %s\n", h.Host, orAsWanted(h.Changes))
	}
	for _, h := range c.Unreached {
		p.printf("%-10s not reached, and as it was\n", h)
	}
	for _, n := range c.Notes {
		p.printf("note: %s\n", n)
	}
	if done != "" {
		p.printf("%s\n", done)
	}
	return p.err
}

func orAsWanted(changes []string) string {
	if len(changes) == 0 {
		return "as wanted"
	}
	text := changes[0]
	for _, c := range changes[1:] {
		text += ", " + c
	}
	return text
}
