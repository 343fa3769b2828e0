package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/repos/plain"
)

func (a *app) installCommand() *cobra.Command {
	cmd := a.carriedFlags(a.changing(&cobra.Command{
		Use: "install", Short: "Bring the site's servers to its release", Args: cobra.NoArgs,
		Long: `Bring the site's servers to its release: packages, Docker engine, images, certificate,
licence, containers, until every role answers its health checks.

The hosts do the work by themselves, in parallel. If this program, its machine or the link is
lost they go on; "valtctl resume" follows or finishes what was begun. A second install changes
nothing. On a server that already serves, what would interrupt it is left and named.

The network flows that the changes need are tried first ("valtctl check network" tries all).

On a single server run it there as root: no SSH is used. Without a site file, at a terminal,
it begins with "valtctl init".`,
		Example: "  valtctl install --dry-run\n  valtctl install --yes\n  sudo valtctl install\n  valtctl install --bundle /media/stick/site.bundle --yes",
		RunE:    a.action([]string{"text", "json"}, a.install),
	}))
	cmd.Flags().BoolVar(&a.flags.skipChecks, "skip-checks", false, "do not try the network flows that the changes need")
	return cmd
}

func (a *app) install(ctx context.Context, _ []string) (report, error) {
	if a.beginsWithNothing() {
		return a.initAsking(ctx, &initFlags{})
	}
	return a.perform(ctx, installer.Install)
}

// beginsWithNothing says that there is no site file yet, and a person to ask for one.
func (a *app) beginsWithNothing() bool {
	_, err := os.Stat(a.flags.site)
	return errors.Is(err, fs.ErrNotExist) && a.canAsk() && !a.flags.yes && !a.flags.dryRun && len(a.flags.bundle) == 0
}

// perform runs one of installer's runs, with progress, and reports what came of it.
func (a *app) perform(ctx context.Context, run func(context.Context, installer.Options) (*installer.Result, error)) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	obs := a.observe()
	base, err := a.runOptions(s, obs)
	if err != nil {
		return report{}, err
	}
	o := installer.Options{Options: base, Confirm: a.confirmChanges, SkipChecks: a.flags.skipChecks}
	if o.Carrier, err = a.carrier(ctx, s, obs); err != nil {
		return report{}, err
	}
	defer o.Carrier.Close()
	result, err := run(ctx, o)
	o.Carrier.Tell(obs)
	obs.end()
	if result == nil {
		return report{}, err
	}
	return text(result, func(w io.Writer) error { return writeResult(w, result) }), err
}

// writeResult is a run for people: what differs as diffs in a dry run, and a line a host.
func writeResult(w io.Writer, r *installer.Result) error {
	p := &printer{w: w}
	if r.DryRun {
		for _, h := range r.Hosts {
			writeDiffs(p, h)
		}
	}
	p.printf("site %s, release %s, plan %s\n", r.Site, r.Release, r.Digest)
	for _, h := range r.Hosts {
		p.printf("%-10s %s\n", h.Host, summary(h, r.DryRun))
		for _, n := range h.Notes {
			p.printf("%-10s note: %s\n", "", n)
		}
		for _, d := range h.Deferred {
			p.printf("%-10s left for \"valtctl update\", since it would interrupt the %s: %s\n", "", d.Disrupts, d.Title)
		}
	}
	for _, text := range r.Replaced {
		p.printf("note: %s\n", text)
	}
	if !r.Differs() {
		p.printf("nothing to change\n")
	}
	return p.err
}

func summary(h installer.HostResult, dry bool) string {
	switch {
	case h.Outcome == installer.Unchanged && len(h.Deferred) == 0:
		return fmt.Sprintf("unchanged, %s as wanted", count(h.Steps, "step"))
	case h.Outcome == installer.Planned || dry && h.Outcome == installer.Unchanged:
		return fmt.Sprintf("would change %d of %s", len(h.Changes), count(h.Steps, "step"))
	case h.Outcome == installer.Changed:
		return fmt.Sprintf("changed %d of %s, transaction %s", len(h.Changes), count(h.Steps, "step"), h.Transaction)
	}
	text := string(h.Outcome)
	if h.Transaction != "" {
		text += ", transaction " + h.Transaction
	}
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	return text
}

func writeDiffs(p *printer, h installer.HostResult) {
	for _, c := range append(h.Changes, h.Deferred...) {
		p.printf("=== %s: %s\n", h.Host, c.Title)
		if c.Disrupts != "" && c.Disrupts != "nothing" {
			p.printf("    (interrupts the %s)\n", c.Disrupts)
		}
		p.printf("%s\n", block(strings.TrimRight(c.Diff, "\n")))
	}
	if len(h.Changes)+len(h.Deferred) > 0 {
		p.printf("\n")
	}
}

// printer writes until the first error and keeps it.
type printer struct {
	w   io.Writer
	err error
}

// printf keeps the lines and columns of the result its own: a word that has some within, from
// wherever it is, is shown on one line. What is to be several is a block.
func (p *printer) printf(format string, args ...any) {
	if p.err != nil {
		return
	}
	for i, arg := range args {
		args[i] = oneLine(arg)
	}
	if _, err := fmt.Fprintf(p.w, format, args...); err != nil {
		p.err = fmt.Errorf("writing the result: %w", err)
	}
}

// block is text of several lines that printf leaves as they are.
type block string

func oneLine(arg any) any {
	switch v := arg.(type) {
	case block:
		return string(v)
	case error:
		return plain.Line(v.Error())
	case fmt.Stringer:
		return plain.Line(v.String())
	}
	if v := reflect.ValueOf(arg); v.Kind() == reflect.String {
		return plain.Line(v.String())
	}
	return arg
}
