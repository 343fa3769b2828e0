package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
)

func (a *app) abortCommand() *cobra.Command {
	return a.changing(&cobra.Command{
		Use: "abort", Short: "End a rollout that is not over, and take back what was not confirmed", Args: cobra.NoArgs,
		Long: `End a rollout whose controller is gone or was stopped. Servers that were confirmed keep the new
release; one that has switched and was not confirmed goes back; one that only fetches stops. Nothing
is cut off in its middle: a change that has begun is followed to its end first, and taken back then.
After it "valtctl resume" has nothing to go on with, and "valtctl report" says who aborted.

While another run is at work it is refused; stop that run first, or "valtctl lock break".`,
		Example: "  valtctl abort --dry-run\n  valtctl abort --yes",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.abort(ctx)
		}),
	})
}

func (a *app) abort(ctx context.Context) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	if len(a.flags.hosts) > 0 {
		return report{}, usage(errors.New("a rollout is aborted whole"), "leave out --host")
	}
	obs := a.observe()
	base, err := a.runOptions(s, obs)
	if err != nil {
		return report{}, err
	}
	result, err := updater.Abort(ctx, updater.Options{Options: base, Kinds: step.NewRegistry(stepKinds())}, a.agreeToAbort)
	obs.end()
	var replacement *updater.UnfinishedReplacement
	if errors.As(err, &replacement) {
		return a.resumeReplacement(ctx, replacement.Replacing, true)
	}
	if result == nil {
		return report{}, err
	}
	if result.Report != nil {
		err = errors.Join(err, a.forgetComeback(ctx))
	}
	return text(result, func(w io.Writer) error { return writeAbort(w, result) }), err
}

// agreeToAbort asks before anything is taken back.
func (a *app) agreeToAbort(ctx context.Context, p *updater.AbortPreview) error {
	if a.flags.yes {
		return nil
	}
	tty := a.terminal()
	if tty == nil {
		return usage(errors.New("there is no terminal to ask at"), "look with --dry-run, then give --yes")
	}
	if err := writeAbortPreview(a.err, p); err != nil {
		return err
	}
	yes, err := a.confirm(ctx, tty, "Abort it?")
	if err != nil {
		return fmt.Errorf("asking for confirmation: %w", err)
	}
	if !yes {
		return &problem.Error{Kind: problem.Interrupted, Doing: "aborting the rollout", Err: errDeclined}
	}
	return nil
}

func writeAbort(w io.Writer, r *updater.AbortResult) error {
	if r.Report == nil {
		return writeAbortPreview(w, r.Preview)
	}
	p := &printer{w: w}
	p.printf("%s %s → %s: %s\n", r.Report.Kind, orDash(r.Report.From), r.Report.To, r.Report.Halted)
	for _, h := range r.Report.Hosts {
		p.printf("%-10s %s", h.Host, h.Outcome)
		if h.Reason != "" && h.Reason != r.Report.Halted {
			p.printf(": %s", h.Reason)
		}
		p.printf("\n")
	}
	return p.err
}

func writeAbortPreview(w io.Writer, pre *updater.AbortPreview) error {
	p := &printer{w: w}
	if pre.Nothing() {
		p.printf("nothing to abort\n")
		return p.err
	}
	if r := pre.Rollout; r != nil {
		p.printf("%s %s → %s, begun by %s with run %s\n", r.Kind, orDash(r.From), r.To, r.Who, r.Run)
	}
	for _, h := range pre.Hosts {
		p.printf("%-10s %s\n", h.Host, h.Does)
	}
	return p.err
}
