// Package firewall holds the step about the host's firewall: a table of our own beside Docker's,
// on trial until somebody confirms it over a new connection. Which rules it has is the plan's;
// the gate that a drain closes is another table, and the updater's.
package firewall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/nft"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/repos/problem"
)

// Where the firewall is on a host.
const (
	firewallRules   = "/etc/valtctl/firewall.nft"
	firewallListing = "/var/lib/valtctl/firewall.listing" // what nft made of the rules
	firewallUnit    = "valtctl-firewall.service"
)

// table is ours, beside Docker's and the drain's.
const table nft.Table = "inet valtctl"

// firewallUnitText loads our own table and removes no other. nftables.service would
// flush Docker's translation rules too; where it is enabled it goes first. It is not
// stopped at a shutdown, so that the host is never open (systemd.special(7),
// network-pre.target).
const firewallUnitText = `# Written by valtctl. It looks after the table "inet valtctl" alone.
[Unit]
Description=Firewall of the VALT site
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target docker.service
After=local-fs.target systemd-modules-load.service nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
StandardInput=null
ExecStart=` + nft.Program + ` -f ` + firewallRules + `
ExecReload=` + nft.Program + ` -f ` + firewallRules + `
ExecStop=-` + nft.Program + ` delete table ` + string(table) + `

[Install]
WantedBy=sysinit.target
`

// defaultConfirm is how long new rules wait for their confirmation.
const defaultConfirm = 60 * time.Second

// Params is the host's whole firewall.
type Params struct {
	Rules         string `json:"rules,omitempty"`          // for nft -f, of our own table; empty: no firewall of ours
	ConfirmWithin int    `json:"confirm_within,omitempty"` // seconds; 0: 60
}

// KindFirewall names what Kind makes.
const KindFirewall step.KindName = "firewall"

// Kind keeps a firewall of our own, beside Docker's. New rules are in force on
// trial until somebody confirms them over a connection that was opened under them
// (Confirm); otherwise the host puts back what was there, by a timer that needs
// nothing of this program. Only confirmed rules are written where a boot finds them.
func Kind() step.Kind {
	return step.KindOf(KindFirewall, step.Reversible, func(p Params) (step.Step, error) { return newFirewall(p) })
}

type firewall struct {
	Params
	within time.Duration
	unit   *system.Unit
}

func newFirewall(p Params) (*firewall, error) {
	if p.Rules != "" && !strings.Contains(p.Rules, "\ntable "+string(table)+" {") {
		return nil, fmt.Errorf("reading the firewall's rules: they do not make the table %s", table)
	}
	if p.ConfirmWithin < 0 || p.ConfirmWithin > 3600 {
		return nil, fmt.Errorf("reading the firewall's parameters: %d seconds to confirm it are not between 0 and 3600", p.ConfirmWithin)
	}
	u, err := system.NewUnit(system.UnitParams{Name: firewallUnit, Content: firewallUnitText, WantedBy: "sysinit.target"})
	if err != nil {
		return nil, err
	}
	f := &firewall{Params: p, within: time.Duration(p.ConfirmWithin) * time.Second, unit: u}
	if f.within == 0 {
		f.within = defaultConfirm
	}
	return f, nil
}

func (f *firewall) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	if f.Rules == "" {
		diff, err := f.leftovers(h)
		return step.Finding{Change: diff != "", Diff: diff, Disrupts: step.Nothing}, err
	}
	if err := noOtherFirewall(ctx, h); err != nil {
		return step.Finding{}, err
	}
	was, err := step.ReadIfThere(h.Path(firewallRules))
	if err != nil {
		return step.Finding{}, err
	}
	var diff string
	if !bytes.Equal(was, []byte(f.Rules)) {
		diff = step.TextDiff(firewallRules, was, []byte(f.Rules))
	}
	unit, err := f.unit.Inspect(ctx, h)
	if err != nil {
		return step.Finding{}, err
	}
	diff += unit.Diff
	if bytes.Equal(was, []byte(f.Rules)) {
		loaded, err := loadedDiff(ctx, h)
		if err != nil {
			return step.Finding{}, err
		}
		diff += loaded
	}
	return step.Finding{Change: diff != "", Diff: diff, Disrupts: step.Nothing}, nil
}

func (f *firewall) Apply(ctx context.Context, h *step.Machine) error {
	if f.Rules == "" {
		return f.remove(ctx, h)
	}
	if err := noOtherFirewall(ctx, h); err != nil {
		return err
	}
	trial := firewallTrial{h: h, within: f.within}
	if err := trial.endFormer(ctx); err != nil {
		return err
	}
	found, err := f.Inspect(ctx, h)
	if err != nil {
		return err
	}
	unit, err := f.unit.Inspect(ctx, h)
	if err != nil {
		return err
	}
	if found.Diff != unit.Diff { // more than the unit: the rules themselves
		if err := trial.run(ctx, f.Rules); err != nil {
			return err
		}
	}
	return f.keep(ctx, h)
}

// Undo puts back the firewall that was there: its rules are loaded again, or where there
// were none the table goes.
func (f *firewall) Undo(ctx context.Context, h *step.Machine) error {
	any, err := step.PutBack(h)
	if err != nil || !any {
		return err
	}
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of the former firewall: %w", err)
	}
	rules, err := step.ReadIfThere(h.Path(firewallRules))
	if err != nil {
		return err
	}
	if rules == nil {
		if err := table.Remove(ctx, h); err != nil && !nft.NoProgram(err) {
			return err
		}
		return nil
	}
	return table.Change(ctx, h, string(rules))
}

// keep makes confirmed rules those of the next boot.
func (f *firewall) keep(ctx context.Context, h *step.Machine) error {
	listing, err := loadedTable(ctx, h, "--numeric")
	if err != nil {
		return err
	}
	if err := step.WriteFile(h, firewallRules, []byte(f.Rules), step.Owner{Mode: 0o644}); err != nil {
		return err
	}
	if err := step.WriteFile(h, firewallListing, listing, step.Owner{Mode: 0o600}); err != nil {
		return err
	}
	if err := f.unit.Apply(ctx, h); err != nil {
		return err
	}
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "start", firewallUnit}}); err != nil {
		return fmt.Errorf("starting %s: %w", firewallUnit, err)
	}
	return nil
}

// files are all that a firewall of ours is made of.
func (f *firewall) files() []string {
	return []string{f.unit.Link, f.unit.Path, firewallRules, firewallListing}
}

// leftovers is what is there of a firewall that is no longer wanted.
func (f *firewall) leftovers(h *step.Machine) (string, error) {
	var diff strings.Builder
	for _, file := range f.files() {
		_, err := os.Lstat(h.Path(file))
		switch {
		case err == nil:
			fmt.Fprintf(&diff, "- %s\n", file)
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("looking for a firewall of ours: %w", err)
		}
	}
	return diff.String(), nil
}

// remove takes the firewall away: our table, unit and files, and nothing else.
func (f *firewall) remove(ctx context.Context, h *step.Machine) error {
	if err := (&firewallTrial{h: h}).endFormer(ctx); err != nil {
		return err
	}
	if _, err := os.Lstat(h.Path(f.unit.Path)); err == nil {
		if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "stop", firewallUnit}}); err != nil {
			return fmt.Errorf("stopping %s: %w", firewallUnit, err)
		}
	}
	if err := table.Remove(ctx, h); err != nil && !nft.NoProgram(err) {
		return err
	}
	for _, file := range f.files() {
		if err := step.RemoveFile(h, file); err != nil {
			return err
		}
	}
	_ = os.Remove(h.Path(path.Dir(firewallRules))) // if nothing else is in it
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of the firewall's end: %w", err)
	}
	return nil
}

// noOtherFirewall refuses a host that somebody else's firewall looks after: of two, the
// one would undo or hide what the other does. ufw says by its own setting whether it is
// on, since its unit ends with loading the rules (ufw.conf).
func noOtherFirewall(ctx context.Context, h *step.Machine) error {
	refuse := func(name, fix string) error {
		return &problem.Error{Kind: problem.Failed, Doing: "looking for other firewalls", Object: name,
			Err: errors.New("it is active on this host, and the site file says that valtctl manages the firewall"),
			Fix: fix + ", or write firewall: off in the site file"}
	}
	config, err := step.ReadIfThere(h.Path("/etc/ufw/ufw.conf"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(config)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if strings.TrimSpace(name) == "ENABLED" && strings.EqualFold(strings.Trim(strings.TrimSpace(value), `"'`), "yes") {
			return refuse("ufw", "switch it off with: ufw disable")
		}
	}
	if _, err := os.Stat(h.Path("/usr/sbin/firewalld")); err != nil {
		return nil
	}
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "--quiet", "is-active", "firewalld.service"}}); err == nil {
		return refuse("firewalld", "switch it off with: systemctl disable --now firewalld")
	}
	return ctx.Err()
}
