package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
)

// rolling are the flags of the commands that roll something over the site.
type rolling struct {
	to        string
	stageOnly bool
	interrupt bool
	soak      time.Duration
	drain     time.Duration
}

func (a *app) updateCommand() *cobra.Command {
	var f rolling
	cmd := a.changing(&cobra.Command{
		Use: "update", Short: "Roll a newer release, or changed settings, over the site", Args: cobra.NoArgs,
		Long: `Roll a newer release over the site without cutting a recording; without a newer release, apply
what has changed in the site file.

Every server fetches what it lacks first. Then the canary is changed, then the others in waves.
A media server gets no new sessions, and its recordings are waited for; the recorders are looked
at once more right before it stops. One that still records at the deadline is skipped. A server
that does not serve afterwards goes back by itself, and the rollout stops at the site's budget of
failures. If this program, its machine or the link is lost, a server that nobody confirms goes
back; "valtctl resume" goes on with the rollout from any machine.

Exit code 4 if the rollout halted or a server was skipped.`,
		Example: "  valtctl update --dry-run\n  valtctl update --yes\n  valtctl update --to 6.4.2 --stage-only\n  valtctl update --host media2 --interrupt-recordings",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.roll(ctx, f, updater.Update)
		}),
	})
	a.carriedFlags(cmd)
	a.rollingFlags(cmd, &f)
	cmd.Flags().StringVar(&f.to, "to", "", "the release to go to; without it what the site file asks for")
	cmd.Flags().BoolVar(&f.stageOnly, "stage-only", false, "fetch everywhere and change nothing that serves")
	return cmd
}

func (a *app) rollbackCommand() *cobra.Command {
	var f rolling
	cmd := a.changing(&cobra.Command{
		Use: "rollback", Short: "Roll the release before over the site", Args: cobra.NoArgs,
		Long: `Roll the release that the site had before over it again, as carefully as an update: drained, in
waves, within the budget. It works from what the servers kept and from the releases known since
the last look, so it needs no release repository that can be reached.`,
		Example: "  valtctl rollback --dry-run\n  valtctl rollback --yes --to 6.4.1",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.roll(ctx, f, updater.Rollback)
		}),
	})
	a.rollingFlags(cmd, &f)
	cmd.Flags().StringVar(&f.to, "to", "", "the release to go back to; without it the one before")
	return cmd
}

func (a *app) repairCommand() *cobra.Command {
	var f rolling
	cmd := a.changing(&cobra.Command{
		Use: "repair", Short: "Lead servers out of quarantine", Args: cobra.NoArgs,
		Long: `Lead servers that could neither be changed nor brought back out of quarantine, to the release that
they say they have. What keeps sessions out stays in place until they serve.`,
		Example: "  valtctl repair --host media1 --yes",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.roll(ctx, f, updater.Repair)
		}),
	})
	a.rollingFlags(cmd, &f)
	return cmd
}

func (a *app) rollingFlags(cmd *cobra.Command, f *rolling) {
	cmd.Flags().BoolVar(&f.interrupt, "interrupt-recordings", false, "cut recordings of the servers that --host names")
	cmd.Flags().DurationVar(&f.soak, "soak", updater.DefaultSoak, "how long a changed server is watched before the next")
	cmd.Flags().DurationVar(&f.drain, "drain", updater.DefaultDrain, "how long a server's recordings are waited for")
}

// roll runs one of updater's rollouts, with progress, and reports what came of it.
func (a *app) roll(ctx context.Context, f rolling, run func(context.Context, updater.Options) (*updater.UpdateResult, error)) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	obs := a.observe()
	base, err := a.runOptions(s, obs)
	if err != nil {
		return report{}, err
	}
	if base.Carrier, err = a.carrier(ctx, s, obs); err != nil {
		return report{}, err
	}
	defer base.Carrier.Close()
	back, err := a.comeback(s)
	if err != nil {
		return report{}, err
	}
	o := updater.Options{Options: base, Kinds: step.NewRegistry(stepKinds()), To: f.to, StageOnly: f.stageOnly,
		Interrupt: f.interrupt, Soak: f.soak, DrainWithin: f.drain, Agree: a.agree}
	if back != nil {
		o.Comeback = back
	}
	result, err := run(ctx, o)
	base.Carrier.Tell(obs)
	obs.end()
	if result == nil {
		return report{}, err
	}
	return text(result, func(w io.Writer) error { return writeRollout(w, result) }), err
}

// agree asks before the first change. Without a terminal --yes must have been given.
func (a *app) agree(ctx context.Context, p *updater.Preview) error {
	if a.flags.yes {
		return nil
	}
	tty := a.terminal()
	if tty == nil {
		return usage(errors.New("there is no terminal to ask at"), "look with --dry-run, then give --yes")
	}
	if err := writePreview(a.err, p, false); err != nil {
		return err
	}
	yes, err := a.confirm(ctx, tty, "Go on?")
	if err != nil {
		return fmt.Errorf("asking for confirmation: %w", err)
	}
	if !yes {
		return &problem.Error{Kind: problem.Interrupted, Doing: "rolling out", Object: p.To, Err: errDeclined}
	}
	return nil
}

// writeRollout is a rollout for people: what it did, or would do.
func writeRollout(w io.Writer, r *updater.UpdateResult) error {
	if r.Report == nil {
		return writePreview(w, r.Preview, true)
	}
	p := &printer{w: w}
	p.printf("%s %s → %s, plan %s\n", r.Report.Kind, r.Report.From, r.Report.To, r.Report.PlanDigest)
	for _, h := range r.Report.Hosts {
		p.printf("%-10s %s", h.Host, h.Outcome)
		if h.Downtime > 0 {
			p.printf(", containers away for %s", h.Downtime.Round(100*time.Millisecond))
		}
		if h.Reason != "" {
			p.printf(": %s", h.Reason)
		}
		p.printf("\n")
	}
	if r.Report.Halted != "" {
		p.printf("halted: %s\n", r.Report.Halted)
	}
	return p.err
}

// writePreview is what a rollout would do, with diffs where they are wanted.
func writePreview(w io.Writer, pre *updater.Preview, diffs bool) error {
	p := &printer{w: w}
	if diffs {
		for _, h := range pre.Hosts {
			writeStepPreviews(p, h)
		}
	}
	p.printf("%s %s → %s, plan %s\n", pre.Kind, pre.From, pre.To, pre.Digest)
	for _, h := range pre.Hosts {
		p.printf("%-10s %s\n", h.Host, previewLine(h))
		for _, n := range h.Notes {
			p.printf("%-10s note: %s\n", "", n)
		}
	}
	for _, text := range pre.Replaced {
		p.printf("note: %s\n", text)
	}
	if len(pre.Via) > 0 {
		p.printf("then on to %s\n", strings.Join(pre.Via, ", "))
	}
	if !pre.Differs() {
		p.printf("nothing to change\n")
	} else {
		p.printf("expected to take %s\n", pre.Expected.Round(time.Second))
	}
	if pre.Window != "" {
		p.printf("window: %s\n", pre.Window)
	}
	if mails := updater.OfflineMails(pre.Offline, "while drained and changed"); mails != "" {
		p.printf("mails: %s\n", mails)
	}
	return p.err
}

func previewLine(h updater.HostPreview) string {
	if len(h.Steps) == 0 {
		return "as wanted"
	}
	words := []string{fmt.Sprintf("wave %d", h.Wave), count(len(h.Steps), "step"), "about " + h.Expected.Round(time.Second).String()}
	if h.Fetch > 0 {
		words = append(words, "fetches "+units.HumanSize(float64(h.Fetch)))
	}
	if h.Drained {
		words = append(words, "no sessions meanwhile")
	}
	return strings.Join(words, ", ")
}

func writeStepPreviews(p *printer, h updater.HostPreview) {
	for _, s := range h.Steps {
		p.printf("=== %s: %s (%s", h.Host, s.Title, s.Way)
		if s.Disrupts != "" && s.Disrupts != step.Nothing {
			p.printf(", interrupts the %s", s.Disrupts)
		}
		p.printf(")\n%s\n", block(strings.TrimRight(s.Diff, "\n")))
	}
}
