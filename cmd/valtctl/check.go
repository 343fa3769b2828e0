package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtctl/page"
	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/textfile"
)

// checkFlags are those of check alone.
type checkFlags struct {
	from, save, compare, to string
	rate                    int
	noListen, all           bool
	deadline                time.Duration
}

func (a *app) checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use: "check [network|hosts|expiry|update]", Short: "Find out what stands in the way of this site, and change nothing",
		Args: cobra.MaximumNArgs(1), ValidArgs: []string{"network", "hosts", "expiry", "update"},
		Long: `Find out what stands in the way of this site, and change nothing.

network  every flow of the vendor's page, tried from its true source; where nothing listens
         yet at a host of the site, valtctl listens there while it is tried
hosts    the servers themselves: Ubuntu, space, clock, ports, packages, name servers …
expiry   what ends some day: certificates, keys of package sources, release metadata, support
update   what an update to the newest release (or --to) would need

Without a topic: network, hosts and expiry. Nothing is left on the hosts. Flows from clients
are tried from this machine if it is in a clients' network, or with --from client.
Exit code 3: something that the vendor asks for does not work, or a server could not be reached.`,
		Example: "  valtctl check\n  valtctl check network --host media1\n  valtctl check -o html >check.html\n  valtctl check --save before.json; …; valtctl check --compare before.json",
	}
	cmd.Flags().StringVar(&f.from, "from", "", "`client`: this machine stands in for a client, wherever it is")
	cmd.Flags().IntVar(&f.rate, "rate", 0, "at most `N` new connections a second over the whole site, for networks that watch for scans")
	cmd.Flags().BoolVar(&f.noListen, "no-listen", false, "listen nowhere; flows to ports where nothing listens yet stay unknown")
	cmd.Flags().StringVar(&f.save, "save", "", "also write the report to this `file`, to compare with later")
	cmd.Flags().StringVar(&f.compare, "compare", "", "say what changed since the report in this `file`")
	cmd.Flags().StringVar(&f.to, "to", "", "with update: the `release` to look at instead of the channel's newest")
	cmd.Flags().BoolVar(&f.all, "all", false, "list the checks that passed too")
	cmd.Flags().DurationVar(&f.deadline, "deadline", probe.DefaultDeadline, "how long each flow may take, for lookup, dial and protocol together")
	cmd.RunE = a.action([]string{"text", "json", "html"}, func(ctx context.Context, args []string) (report, error) {
		return a.check(ctx, f, args)
	})
	return cmd
}

// checked is the result of check.
type checked struct {
	*check.Report
	Changes []check.Change `json:"changes,omitempty"` // with --compare
}

func (a *app) check(ctx context.Context, f checkFlags, args []string) (report, error) {
	topics, err := f.topics(args)
	if err != nil {
		return report{}, err
	}
	before, err := readBefore("comparing with", f.compare)
	if err != nil {
		return report{}, err
	}
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	obs := a.observe()
	o, err := a.checkOptions(s, obs, f)
	if err != nil {
		return report{}, err
	}
	o.Topics = topics
	found, err := installer.Check(ctx, o)
	obs.end()
	if err != nil {
		return report{}, err
	}
	result := checked{Report: found}
	if before != nil {
		result.Changes = check.Compare(before, found)
	}
	return checkReport(s, result, f), errors.Join(saveReport(f.save, found), failed(found))
}

func (f checkFlags) topics(args []string) ([]check.Topic, error) {
	switch {
	case f.from != "" && f.from != "client":
		return nil, usage(fmt.Errorf("--from knows only %q, not %q", "client", f.from), "write --from client, or leave it out")
	case f.rate < 0:
		return nil, usage(fmt.Errorf("--rate %d is no number of connections a second", f.rate), "write a number from 1, or leave it out")
	case f.deadline <= 0:
		return nil, usage(fmt.Errorf("--deadline %s leaves no time", f.deadline), "write a time like 3s")
	case len(args) == 0:
		return []check.Topic{check.Network, check.Hosts, check.Expiry}, nil
	}
	switch t := check.Topic(args[0]); t {
	case check.Network, check.Hosts, check.Expiry, check.Update:
		return []check.Topic{t}, nil
	}
	return nil, usage(fmt.Errorf("there is no topic %q", args[0]),
		fmt.Sprintf("did you mean %q?", problem.Nearest(args[0], []string{"network", "hosts", "expiry", "update"})))
}

func (a *app) checkOptions(s *site.Site, obs event.Observer, f checkFlags) (installer.CheckOptions, error) {
	o, err := a.runOptions(s, obs)
	if err != nil {
		return installer.CheckOptions{}, err
	}
	if o.Dial, err = a.connect(s, nothingStays); err != nil {
		return installer.CheckOptions{}, err
	}
	c := installer.CheckOptions{Options: o, Version: f.to, Client: f.from == "client", Rate: f.rate, NoListen: f.noListen, Deadline: f.deadline,
		Here: installer.Local{Env: probe.Env{Now: a.now}}}
	for _, text := range ownAddresses() {
		if addr, err := netip.ParseAddr(text); err == nil {
			c.Addresses = append(c.Addresses, addr)
		}
	}
	return c, nil
}

// checkReport renders what was found.
func checkReport(s *site.Site, c checked, f checkFlags) report {
	return report{value: c, as: map[string]func(io.Writer) error{
		"text": func(w io.Writer) error { return writeChecks(w, c, f.all) },
		"html": func(w io.Writer) error { return page.Check(w, c.Report, s) },
	}}
}

// failed makes the exit code of what does not work.
func failed(r *check.Report) error {
	if !r.Failed() {
		return nil
	}
	return &problem.Error{Kind: problem.Check, Doing: "checking site", Object: r.Site,
		Err: errors.New(strings.Join(notGood(r), ", and ")),
		Fix: "each failed check names its fix; check again afterwards with --compare a report that --save wrote"}
}

// notGood says what keeps the site from being called good.
func notGood(r *check.Report) []string {
	var all []string
	if n := r.Count(check.Fail); n > 0 {
		all = append(all, fmt.Sprintf("%d of %s failed", n, count(len(r.Results), "check")))
	}
	if n := len(r.Unreached); n > 0 {
		all = append(all, fmt.Sprintf("%d of %s could not be reached: %s", n, count(r.Servers, "server"), strings.Join(r.Unreached, ", ")))
	}
	return all
}

// maxSavedReport caps a report to compare with, in bytes.
const maxSavedReport = 64 << 20

func readBefore(doing, path string) (*check.Report, error) {
	if path == "" {
		return nil, nil
	}
	text, err := textfile.Read(path, maxSavedReport)
	if err != nil {
		return nil, badReport(doing, path, err)
	}
	r, err := check.ReadSaved(bytes.NewReader(text))
	if err != nil {
		return nil, badReport(doing, path, err)
	}
	return r, nil
}

func badReport(doing, path string, err error) error {
	return &problem.Error{Kind: problem.Input, Doing: doing, Object: path, Err: err, Fix: "name a file that valtctl check --save wrote"}
}

func saveReport(path string, r *check.Report) error {
	if path == "" {
		return nil
	}
	var text bytes.Buffer
	err := check.WriteSaved(&text, r)
	if err == nil {
		err = durable.WriteFile(path, plain.JSON(text.Bytes()), 0o600)
	}
	if err != nil {
		return &problem.Error{Kind: problem.Failed, Doing: "saving the report to", Object: path, Err: err, Fix: "name a file that you may write"}
	}
	return nil
}
