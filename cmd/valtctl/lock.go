package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/repos/problem"
)

func (a *app) lockCommand() *cobra.Command {
	return group("lock", "Show or break the lease that lets one run at a time change the site", a.lockShowCommand(), a.lockBreakCommand())
}

func (a *app) lockShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Say who may change the site now", Args: cobra.NoArgs,
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			o, err := a.quietOptions()
			if err != nil {
				return report{}, err
			}
			lease, err := status.ShowLease(ctx, o)
			if err != nil {
				return report{}, err
			}
			return text(lease, func(w io.Writer) error { return writeLease(w, lease) }), nil
		}),
	}
}

func (a *app) lockBreakCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "break", Short: "Take the lease from a run that will never come back, and have all servers begin anew", Args: cobra.NoArgs,
		Long: `Take the site's lease from a run that will never come back. Servers that it has begun to change go on,
or go back, by themselves; "valtctl resume" goes on with the rest. The run itself, should it
come back, changes nothing any more on any server that was reached.

It works whatever became of what servers remember of former runs (lease.json and fence.json below
/var/lib/valtctl): damaged, gone, at the end of their numbers, or not the same on all. Servers that
could not be reached are named. Run it again once they are back: until then they are at another
number than the rest, and no run begins with them.`,
		Example: `  valtctl lock break --reason "the laptop was stolen"`,
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			switch {
			case reason == "":
				return report{}, usage(errors.New("no reason is given"), "say why: --reason")
			case len(a.flags.hosts) > 0:
				return report{}, usage(errors.New("a site has one lease, and all of its servers must know of it"), "leave out --host")
			}
			return a.breakLease(ctx, reason)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever reads it later")
	cmd.Flags().BoolVar(&a.flags.yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) breakLease(ctx context.Context, reason string) (report, error) {
	o, err := a.quietOptions()
	if err != nil {
		return report{}, err
	}
	if !a.flags.yes {
		tty := a.terminal()
		if tty == nil {
			return report{}, usage(errors.New("there is no terminal to ask at"), "look with: valtctl lock show, then give --yes")
		}
		yes, err := a.confirm(ctx, tty, a.breakQuestion(ctx, o))
		if err != nil {
			return report{}, fmt.Errorf("asking for confirmation: %w", err)
		}
		if !yes {
			return report{}, &problem.Error{Kind: problem.Interrupted, Doing: "breaking the lease of", Object: o.Site.ID, Err: errDeclined}
		}
	}
	b, err := status.BreakLease(ctx, o, reason)
	return text(b, func(w io.Writer) error { return writeBroken(w, b) }), err
}

// breakQuestion says whose lease it is. That it cannot be read is one reason to break it.
func (a *app) breakQuestion(ctx context.Context, o fleet.Options) string {
	lease, err := status.ShowLease(ctx, o)
	switch {
	case err != nil:
		return "Nobody knows who holds the lease (" + fleet.OneLine(err) + "). Have all servers begin anew?"
	case lease.Run == "":
		return "Nobody holds the lease. Have all servers begin anew?"
	}
	return fmt.Sprintf("Take the lease from %s (run %s)?", lease.Who, lease.Run)
}

func writeBroken(w io.Writer, b *status.Broken) error {
	p := &printer{w: w}
	missed := false
	for _, h := range b.Hosts {
		if h.Err == nil {
			p.printf("%-10s begins anew\n", h.Host)
			continue
		}
		missed = true
		p.printf("%-10s as before\n", h.Host)
	}
	if missed {
		p.printf("once the others are back: valtctl lock break --reason WHY\n")
	}
	if b.Broken != "" {
		p.printf("broken: %s\n", b.Broken)
	}
	if len(b.Rollout) > 0 {
		p.printf("a rollout is not finished; valtctl resume goes on with it\n")
	}
	return p.err
}

// quietOptions are those of a command that tells nothing while it works.
func (a *app) quietOptions() (fleet.Options, error) {
	s, err := a.loadSite()
	if err != nil {
		return fleet.Options{}, err
	}
	return a.runOptions(s, event.Silent{})
}

func writeLease(w io.Writer, l status.Lease) error {
	p := &printer{w: w}
	if l.Run == "" {
		p.printf("nobody changes the site now\n")
	} else {
		p.printf("%s changes the site with run %s; the lease holds another %d s unless renewed (token %d)\n", l.Who, l.Run, l.Left, l.Token)
	}
	if l.Broken != "" {
		p.printf("broken: %s\n", l.Broken)
	}
	if len(l.Rollout) > 0 {
		p.printf("a rollout is not finished; valtctl resume goes on with it\n")
	}
	return p.err
}
