package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/updater/schedule"
)

// looking are the flags of schedule run. All but the site file are for practice.
type looking struct {
	at          string // pretend that it is this time now
	soak, drain time.Duration
}

// scheduleRunCommand is what the timer's service runs.
func (a *app) scheduleRunCommand() *cobra.Command {
	var f looking
	cmd := &cobra.Command{
		Use: "run", Short: "Do what there is to do now", Args: cobra.NoArgs, Hidden: true,
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.scheduleRun(ctx, f)
		}),
	}
	cmd.Flags().StringVar(&f.at, "at", "", "judge the windows as if it were this `time` now (RFC 3339)")
	cmd.Flags().DurationVar(&f.soak, "soak", 0, "how long a changed server is watched before the next")
	cmd.Flags().DurationVar(&f.drain, "drain", 0, "how long a server's recordings are waited for")
	return cmd
}

func (a *app) scheduleRun(ctx context.Context, f looking) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	obs := a.observe()
	o, err := a.scheduleOptions(s, obs, f)
	if err != nil {
		return report{}, err
	}
	result, err := schedule.Run(ctx, o)
	obs.end()
	if result == nil {
		return report{}, err
	}
	return text(result, func(w io.Writer) error { return writeRan(w, result) }), err
}

func (a *app) scheduleOptions(s *site.Site, obs event.Observer, f looking) (schedule.Options, error) {
	base, err := a.runOptions(s, obs)
	if err != nil {
		return schedule.Options{}, err
	}
	base.Who = "the schedule on " + base.Who
	o := schedule.Options{Options: base, Kinds: step.NewRegistry(stepKinds()), Soak: f.soak, Drain: f.drain,
		Files: schedule.Files{State: facts.ScheduleState(s.ID), Notices: facts.ScheduleNotices(s.ID), Pause: facts.SchedulePause(s.ID), Enabled: facts.ScheduleEnabled(s.ID)},
		Check: func() (installer.CheckOptions, error) { return a.checkOptions(s, obs, checkFlags{}) },
		Post:  schedule.Post{To: s.Updates.Notify}}
	if f.at != "" {
		at, err := time.Parse(time.RFC3339, f.at)
		if err != nil {
			return o, usage(fmt.Errorf("--at %q is no time", f.at), "write it as 2026-11-01T02:00:00-06:00")
		}
		ahead := at.Sub(a.now())
		o.Clock = func() time.Time { return a.now().Add(ahead) }
	}
	outward, _, err := inputs.Outward(s)
	if err != nil {
		return o, err
	}
	o.Post.HTTP = outward
	trust, err := inputs.ReadTrust(s)
	if err != nil {
		return o, err
	}
	o.Post.Roots, err = trust.Pool()
	return o, err
}

func writeRan(w io.Writer, r *schedule.RunResult) error {
	p := &printer{w: w}
	for _, d := range r.Decisions {
		p.printf("%s: %s\n", d.Do, d.Why)
	}
	for _, t := range r.Told {
		p.printf("told: %s\n", t)
	}
	if r.Report != nil {
		for _, h := range r.Report.Hosts {
			p.printf("%-10s %s %s\n", h.Host, h.Outcome, h.Reason)
		}
	}
	return p.err
}

func (a *app) scheduleShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Say what is done unattended and when", Args: cobra.NoArgs,
		Long:    "Say whether the site is updated unattended, what comes next and when, and what was done and found last.",
		Example: "  valtctl schedule show",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.scheduleShow(ctx)
		}),
	}
}

func (a *app) scheduleShow(ctx context.Context) (report, error) {
	o, err := a.quietOptions()
	if err != nil {
		return report{}, err
	}
	if len(o.Hosts) > 0 {
		return report{}, usage(errors.New("a site is looked after as a whole"), "leave out --host")
	}
	home := fleet.LeaseHost(o.Site).Name
	o.Hosts = []string{home}
	found, err := status.Gather(ctx, o, false)
	if err != nil {
		return report{}, err
	}
	shown, err := schedule.Show(o.Site, found[0].Schedule, a.now())
	if err != nil {
		return report{}, err
	}
	shown.Host = home
	return text(shown, func(w io.Writer) error { return writeShown(w, shown) }), nil
}

func writeShown(w io.Writer, s *schedule.Overview) error {
	p := &printer{w: w}
	if !s.Enabled {
		p.printf("%s is updated by hand alone; valtctl schedule enable has it update itself\n", s.Site)
		return p.err
	}
	p.printf("%s updates itself from %s, enabled by %s\n", s.Site, s.Host, s.By)
	for _, l := range s.Lines {
		p.printf("%-16s %s\n", l.Name, l.Text)
	}
	return p.err
}
