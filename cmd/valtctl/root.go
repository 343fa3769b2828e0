package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
)

// app is what the commands share: the streams, the clock and the flags.
type app struct {
	in io.Reader
	// out and err show words from anywhere: main puts the filter before them.
	out, err io.Writer
	raw      raw
	home     string // what ~ stands for; empty without one
	now      func() time.Time
	hostRoot string // put before every path of this host; empty outside tests

	flags flags
	stage stage
	// watching shows the progress of this run; nil: it has none.
	watching observer
	// bundle is the one of this run, once all of it is verified.
	bundle *bundle.Reader
}

// flags are those that several commands take.
type flags struct {
	site   string
	hosts  []string
	output string // empty: the command's first format
	events bool

	dryRun, yes bool          // of changing commands
	skipChecks  bool          // of install
	lease       time.Duration // how long the site's lease is held without renewing it
	bundle      []string      // files of the bundle that everything comes from
	signers     string        // file of keys whose bundles are trusted
	limit       int           // hosts that fetch at a time
}

// commands lists every command. A new one is one file and one line here.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.initCommand(),
		a.installCommand(),
		a.updateCommand(),
		a.rollbackCommand(),
		a.resumeCommand(),
		a.abortCommand(),
		a.repairCommand(),
		a.replaceCommand(),
		a.drainCommand(),
		a.undrainCommand(),
		a.statusCommand(),
		a.historyCommand(),
		a.reportCommand(),
		a.factsCommand(),
		a.logsCommand(),
		a.siteCommand(),
		a.networkCommand(),
		a.checkCommand(),
		a.versionCommand(),
		a.trustCommand(),
		a.lockCommand(),
		a.scheduleCommand(),
		a.backupCommand(),
		a.bundleCommand(),
		a.supportBundleCommand(),
		a.agentCommand(),
		a.txnRunCommand(),
		a.txnResumeCommand(),
		a.completionCommand(),
	}
}

func (a *app) root() *cobra.Command {
	root := group("valtctl", "Install VALT sites and keep them current", a.commands()...)
	root.Long = root.Short + ".\n\nA site file describes the servers, cameras and networks; the default is ./site.yaml."
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	f := root.PersistentFlags()
	f.StringVar(&a.flags.site, "site", "site.yaml", "the site `file`")
	f.StringSliceVar(&a.flags.hosts, "host", nil, "only this `host`, by its name in the site file (repeatable)")
	f.StringVarP(&a.flags.output, "output", "o", "", "the `format` of the result: text, json, or what the command names")
	f.BoolVar(&a.flags.events, "events", false, "write progress as JSON, one line an event")
	return root
}

// changing adds the flags of commands that change hosts.
func (a *app) changing(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.flags.dryRun, "dry-run", false, "show what would change, and change nothing")
	cmd.Flags().BoolVarP(&a.flags.yes, "yes", "y", false, "do not ask")
	cmd.Flags().DurationVar(&a.flags.lease, "lease", fleet.DefaultLease, "how long the site's lease is held without renewing it")
	_ = cmd.Flags().MarkHidden("lease") // for practice: nobody else has a reason
	return cmd
}

// group is a command that only has commands below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	cmd.AddCommand(below...)
	names := make([]string, len(below))
	for i, c := range below {
		names[i] = c.Name()
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(cmd, args[0], names)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return usage(fmt.Errorf("%s needs a command", cmd.CommandPath()), "its commands are "+strings.Join(names, ", "))
	}
	return cmd
}

func unknownCommand(cmd *cobra.Command, name string, known []string) error {
	fix := "its commands are " + strings.Join(known, ", ")
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		fix = fmt.Sprintf("did you mean %q? %s%s", near[0], strings.ToUpper(fix[:1]), fix[1:])
	}
	return usage(fmt.Errorf("%s has no command %q", cmd.CommandPath(), name), fix)
}

// usage is a mistake on the command line.
func usage(cause error, fix string) error {
	return &problem.Error{Kind: problem.Input, Doing: "reading the command line", Err: cause, Fix: fix}
}

// main runs the command line and returns its exit code.
func (a *app) main(ctx context.Context, args []string) int {
	defer a.filter()()
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && a.stage == parsing {
		err = asUsage(cmd, err)
	}
	code := exitCode(ctx, err)
	a.printProblems(err)
	if err != nil && a.stage != printed && wantsJSON(args) {
		a.printEnvelope(envelope{Kind: kindName(cmd), Exit: code, Errors: problemsOf(err)})
	}
	return code
}

// asUsage gives cobra's own complaints the shape of ours.
func asUsage(cmd *cobra.Command, err error) error {
	if _, ours := err.(*problem.Error); ours {
		return err
	}
	return usage(err, fmt.Sprintf("%s --help shows how it is used", cmd.CommandPath()))
}

// loadSite reads the site file and prints its warnings.
func (a *app) loadSite() (*site.Site, error) {
	s, err := site.Load(a.flags.site, a.home)
	if err != nil {
		return nil, err
	}
	a.printWarnings(s.Warnings)
	for _, name := range a.flags.hosts {
		if _, ok := s.Host(name); !ok {
			return nil, unknownHost(s, name)
		}
	}
	return s, nil
}

func unknownHost(s *site.Site, name string) error {
	names := make([]string, len(s.Hosts))
	for i, h := range s.Hosts {
		names[i] = h.Name
	}
	return usage(fmt.Errorf("%s has no host %q", s.File(), name), "its hosts are "+strings.Join(names, ", "))
}
