package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hiddeco/sshsig"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/cmd/valtctl/page"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
)

// reportNamespace keeps a report's signature from being one of anything else (ssh-keygen(1),
// -Y sign).
const reportNamespace = "report@valtctl.ipivs.com"

func (a *app) reportCommand() *cobra.Command {
	var save string
	cmd := &cobra.Command{
		Use: "report [RUN]", Short: "Show what a rollout did, for whoever must know", Args: cobra.MaximumNArgs(1),
		Long: `Show what a rollout did: who, what, from where, which questions each server had to answer, how long
its containers were away, and why it was taken back or left alone. Without a run it is the newest
of this controller. The records behind it are a hash chain, which is checked; a broken one is
exit code 6.

With --sign the report is written to a file and signed with the site's SSH key (ssh.identity).`,
		Example: "  valtctl report\n  valtctl report -o html >report.html\n  valtctl report --sign report.json\n" +
			"  ssh-keygen -Y verify -f signers -I pat@example.com -n " + reportNamespace + " -s report.json.sig <report.json",
		RunE: a.action([]string{"text", "json", "html"}, func(_ context.Context, args []string) (report, error) {
			return a.report(args, save)
		}),
	}
	cmd.Flags().StringVar(&save, "sign", "", "write the report as JSON to this `file`, and its signature beside it")
	return cmd
}

func (a *app) report(args []string, sign string) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	run, err := a.newestRun(s, args)
	if err != nil {
		return report{}, err
	}
	r, damage := updater.ReadReport(a.stateDir(s.ID), run)
	if r == nil {
		return report{}, damage
	}
	if sign != "" && damage == nil {
		damage = a.signReport(s, r, sign)
	}
	made := text(r, func(w io.Writer) error { return writeReport(w, r) })
	made.as["html"] = func(w io.Writer) error { return page.Rollout(w, r) }
	return made, damage
}

// newestRun is the run that was asked for, or else the controller's newest.
func (a *app) newestRun(s *site.Site, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	runs, err := updater.Runs(a.stateDir(s.ID))
	if err != nil {
		return "", err
	}
	if len(runs) == 0 {
		return "", &problem.Error{Kind: problem.Input, Doing: "finding a report of site", Object: s.ID,
			Err: errors.New("this controller has rolled nothing out"), Fix: "run it where the rollout was run; valtctl history shows what the servers did"}
	}
	return runs[0], nil
}

// signReport writes the report and its SSHSIG signature (PROTOCOL.sshsig).
func (a *app) signReport(s *site.Site, r *updater.Report, file string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	content = append(plain.JSON(content), '\n')
	var identity string
	for _, h := range s.Hosts {
		identity = h.SSH.Identity
		break
	}
	key, err := os.ReadFile(identity)
	if err != nil {
		return &problem.Error{Kind: problem.Input, Doing: "signing the report with", Object: identity, Err: err, Fix: "name the key in the site file: ssh.identity"}
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return &problem.Error{Kind: problem.Input, Doing: "signing the report with", Object: identity, Err: err,
			Fix: "a key with a passphrase cannot be used here; name one without"}
	}
	signature, err := sshsig.Sign(bytes.NewReader(content), signer, sshsig.HashSHA512, reportNamespace)
	if err != nil {
		return fmt.Errorf("signing the report: %w", err)
	}
	if err := durable.WriteFile(file, content, 0o644); err != nil {
		return err
	}
	return durable.WriteFile(file+".sig", sshsig.Armor(signature), 0o644)
}

// writeReport is a report for people.
func writeReport(w io.Writer, r *updater.Report) error {
	p := &printer{w: w}
	p.printf("%s %s → %s of site %s, run %s, by %s\n", r.Kind, orDash(r.From), r.To, r.Site, r.Run, r.Who)
	p.printf("began %s", r.Started.UTC().Format(time.DateTime))
	if !r.Ended.IsZero() {
		p.printf(", took %s", r.Ended.Sub(r.Started).Round(time.Second))
	}
	p.printf(", plan %s\n", r.PlanDigest)
	if r.Halted != "" {
		p.printf("halted: %s\n", r.Halted)
	}
	for _, h := range r.Hosts {
		p.printf("%-10s %s", h.Host, h.Outcome)
		if h.Downtime > 0 {
			p.printf(", containers away for %s", h.Downtime.Round(100*time.Millisecond))
		}
		if h.Reason != "" {
			p.printf(": %s", h.Reason)
		}
		p.printf("\n")
		for _, g := range h.Gates {
			p.printf("%-10s   %s: %s\n", "", g.Name, g.Text)
		}
	}
	if r.Chain != nil && r.Chain.Damaged == "" {
		p.printf("%d records stand behind this, the last %s\n", r.Chain.Records, r.Chain.Head)
	}
	return p.err
}
