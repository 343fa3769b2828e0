package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
)

// replacing are the flags of replace.
type replacing struct {
	what        wizard.Replacement
	user, ident string
	port        int
	request     bool
	drain, plug time.Duration
}

func (a *app) replaceCommand() *cobra.Command {
	var f replacing
	cmd := a.carriedFlags(a.changing(&cobra.Command{
		Use: "replace OLD --with NEW", Short: "Have a new server take the place of a media server", Args: cobra.ExactArgs(1),
		Long: `Have a freshly installed server, of the next Ubuntu LTS as well, take the place of a media server: its
role, cameras, licence, settings and network rows, and its name where the site file has it.

The network is tried from the new address first; --request writes what IT is asked to open for it, and
what may be closed afterwards. The new server is made ready with the release that the site runs, while
the old one serves. Then the old one is drained: no recording is cut, and where recordings go on for
too long nothing is moved, and the exit code is 4. It stops, the new one serves, the application is
told its address, and others prove that it serves. Until all of that is so each of them goes back by
itself. If this program is lost "valtctl resume" goes on, from any machine.

The old server keeps its recordings. It is named in the site file (replaced), by status and in plans
until somebody takes it out of the file. A USB licence key cannot move by itself: the command tells
when to plug it over, and waits until the new server sees it.

The way back is the same command: valtctl replace NEW --with OLD.`,
		Example: "  valtctl replace media1 --with media3 --address 10.0.4.31 --request >firewall-change.html\n" +
			"  valtctl replace media1 --with media3 --address 10.0.4.31 --dry-run\n  valtctl replace media1 --with media3 --address 10.0.4.31 --yes\n  valtctl replace media3 --with media1 --yes",
	}))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		formats := []string{"text", "json"}
		if f.request {
			formats = []string{"table", "csv", "json"}
		}
		return a.action(formats, func(ctx context.Context, args []string) (report, error) { return a.replace(ctx, args[0], f) })(cmd, args)
	}
	flags := cmd.Flags()
	flags.StringVar(&f.what.New, "with", "", "the `name` of the new server")
	flags.StringVar(&f.what.Address, "address", "", "its IPv4 address or name; a server that the site file has as replaced has one already")
	flags.StringVar(&f.what.Recordings, "recordings", "", "its `folder` of recordings; without it the old server's")
	flags.StringVar(&f.user, "ssh-user", "", "its login; without these three the old server's")
	flags.StringVar(&f.ident, "ssh-identity", "", "the `file` of the key for it")
	flags.IntVar(&f.port, "ssh-port", 0, "its SSH port")
	flags.BoolVar(&f.request, "request", false, "write what firewalls are to let through besides, and need not any more; ask nobody")
	flags.DurationVar(&f.drain, "drain", updater.DefaultDrain, "how long recordings are waited for")
	flags.DurationVar(&f.plug, "plug", updater.DefaultPlug, "how long it is waited for a USB licence key to be plugged over")
	flags.BoolVar(&a.flags.skipChecks, "skip-checks", false, "do not try the network of the new server")
	return cmd
}

// replace begins a replacement.
func (a *app) replace(ctx context.Context, old string, f replacing) (report, error) {
	if f.what.New == "" {
		return report{}, usage(errors.New("the new server is not named"), "give it a name of its own: --with media3 --address 10.0.4.31")
	}
	if len(a.flags.hosts) > 0 {
		return report{}, usage(errors.New("a replacement is about the servers that it names"), "leave out --host")
	}
	f.what.Old, f.what.Since = old, a.now().UTC().Format(time.DateOnly)
	f.what.SSH = map[string]string{}
	for key, value := range map[string]string{"user": f.user, "identity": f.ident} {
		if value != "" {
			f.what.SSH[key] = value
		}
	}
	if f.port != 0 {
		f.what.SSH["port"] = strconv.Itoa(f.port)
	}
	o := updater.ReplaceOptions{What: f.what, SkipChecks: a.flags.skipChecks, PlugWithin: f.plug}
	o.DrainWithin = f.drain
	return a.moving(ctx, o, func(ctx context.Context, o updater.ReplaceOptions) (report, error) {
		if f.request {
			return changeReport(network.Difference(o.Before, o.Site)), nil
		}
		return a.replaceWith(ctx, o)
	})
}

// moving reads the site file as it is and as it is to be.
func (a *app) moving(ctx context.Context, o updater.ReplaceOptions, do func(context.Context, updater.ReplaceOptions) (report, error)) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	if err := updater.RefuseReplace(s, o.What); err != nil {
		return report{}, err
	}
	if _, known := s.WasReplaced(o.What.New); o.What.Address == "" && !known && o.Begun == nil {
		return report{}, usage(fmt.Errorf("the site file does not know %s", o.What.New), "say where it is: --address 10.0.4.31")
	}
	base, err := site.ReadFile(a.flags.site)
	if err != nil {
		return report{}, fmt.Errorf("reading the site file: %w", err)
	}
	text, err := o.What.Apply(base)
	if err != nil {
		return report{}, &problem.Error{Kind: problem.Input, Doing: "writing the replacement into", Object: a.flags.site, Err: err,
			Fix: "write hosts and replaced as plain YAML, one key a line, then run the command again"}
	}
	path, err := filepath.Abs(a.flags.site)
	if err != nil {
		return report{}, fmt.Errorf("finding the folder of %s: %w", a.flags.site, err)
	}
	after, err := site.Parse(path, text, a.home)
	if err != nil {
		return report{}, fmt.Errorf("reading the site file as it would be: %w", err)
	}
	o.Before, o.Site = s, after
	o.Write = func() error { return a.replaceSite(base, text) }
	return do(ctx, o)
}

// replaceWith does it, with progress.
func (a *app) replaceWith(ctx context.Context, o updater.ReplaceOptions) (report, error) {
	obs := a.observe()
	base, err := a.runOptions(o.Site, obs)
	if err != nil {
		return report{}, err
	}
	if base.Carrier, err = a.carrier(ctx, o.Site, obs); err != nil {
		return report{}, err
	}
	defer base.Carrier.Close()
	o.Options.Options, o.Kinds, o.Accept = base, step.NewRegistry(stepKinds()), a.acceptReplacement
	result, err := updater.Replace(ctx, o)
	base.Carrier.Tell(obs)
	obs.end()
	if result == nil {
		return report{}, err
	}
	return text(result, func(w io.Writer) error { return writeReplacement(w, result) }), err
}

// resumeReplacement goes on with one that another run began.
func (a *app) resumeReplacement(ctx context.Context, was updater.Replacing, end bool) (report, error) {
	o := updater.ReplaceOptions{What: was.What, Begun: &was}
	return a.moving(ctx, o, func(ctx context.Context, o updater.ReplaceOptions) (report, error) {
		if !end {
			return a.replaceWith(ctx, o)
		}
		obs := a.observe()
		base, err := a.runOptions(o.Site, obs)
		if err != nil {
			return report{}, err
		}
		o.Options.Options, o.Kinds, o.Accept = base, step.NewRegistry(stepKinds()), a.acceptReplacement
		done, err := updater.AbortReplace(ctx, o)
		obs.end()
		return text(nothingResult{done}, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, done)
			return err
		}), err
	})
}

// replaceSite writes the site file, unless it has become another one meanwhile.
func (a *app) replaceSite(base, text []byte) error {
	err := a.writeOver(base, text, false)
	if err != nil {
		return &problem.Error{Kind: problem.Failed, Doing: "writing the site file", Object: a.flags.site, Err: err,
			Fix: fmt.Sprintf("the servers have changed places, and the file does not say so yet: see that %s may be written, then: valtctl resume", filepath.Dir(a.flags.site))}
	}
	return nil
}

// acceptReplacement asks before the first change.
func (a *app) acceptReplacement(ctx context.Context, p *updater.ReplacePreview) error {
	if a.flags.yes {
		return nil
	}
	tty := a.terminal()
	if tty == nil {
		return usage(errors.New("there is no terminal to ask at"), "look with --dry-run, then give --yes")
	}
	if err := writeReplacementPreview(a.err, p, false); err != nil {
		return err
	}
	yes, err := a.confirm(ctx, tty, "Go on?")
	if err != nil {
		return fmt.Errorf("asking for confirmation: %w", err)
	}
	if !yes {
		return &problem.Error{Kind: problem.Interrupted, Doing: "replacing", Object: p.Old, Err: errDeclined}
	}
	return nil
}
