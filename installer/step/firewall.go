package step

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

	"ipivs.com/valtctl/repos/problem"
)

// Where the firewall is on a host.
const (
	firewallRules   = "/etc/valtctl/firewall.nft"
	firewallListing = "/var/lib/valtctl/firewall.listing" // what nft made of the rules
	firewallUnit    = "valtctl-firewall.service"
	firewallTable   = "inet valtctl"
	nftProgram      = "/usr/sbin/nft"
)

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
ExecStart=` + nftProgram + ` -f ` + firewallRules + `
ExecReload=` + nftProgram + ` -f ` + firewallRules + `
ExecStop=-` + nftProgram + ` delete table ` + firewallTable + `

[Install]
WantedBy=sysinit.target
`

// defaultConfirm is how long new rules wait for their confirmation.
const defaultConfirm = 60 * time.Second

// FirewallParams is the host's whole firewall.
type FirewallParams struct {
	Rules         string `json:"rules,omitempty"`          // for nft -f, of our own table; empty: no firewall of ours
	ConfirmWithin int    `json:"confirm_within,omitempty"` // seconds; 0: 60
}

// KindFirewall names what FirewallKind makes.
const KindFirewall KindName = "firewall"

// FirewallKind keeps a firewall of our own, beside Docker's. New rules are in force on
// trial until somebody confirms them over a connection that was opened under them
// (ConfirmFirewall); otherwise the host puts back what was there, by a timer that needs
// nothing of this program. Only confirmed rules are written where a boot finds them.
func FirewallKind() Kind {
	return kindOf(KindFirewall, Reversible, func(p FirewallParams) (Step, error) { return newFirewall(p) })
}

type firewall struct {
	FirewallParams
	within time.Duration
	unit   *unit
}

func newFirewall(p FirewallParams) (*firewall, error) {
	if p.Rules != "" && !strings.Contains(p.Rules, "\ntable "+firewallTable+" {") {
		return nil, fmt.Errorf("reading the firewall's rules: they do not make the table %s", firewallTable)
	}
	if p.ConfirmWithin < 0 || p.ConfirmWithin > 3600 {
		return nil, fmt.Errorf("reading the firewall's parameters: %d seconds to confirm it are not between 0 and 3600", p.ConfirmWithin)
	}
	u, err := newUnit(UnitParams{Name: firewallUnit, Content: firewallUnitText, WantedBy: "sysinit.target"})
	if err != nil {
		return nil, err
	}
	f := &firewall{FirewallParams: p, within: time.Duration(p.ConfirmWithin) * time.Second, unit: u}
	if f.within == 0 {
		f.within = defaultConfirm
	}
	return f, nil
}

func (f *firewall) Inspect(ctx context.Context, h *Machine) (Finding, error) {
	if f.Rules == "" {
		diff, err := f.leftovers(h)
		return Finding{Change: diff != "", Diff: diff, Disrupts: Nothing}, err
	}
	if err := noOtherFirewall(ctx, h); err != nil {
		return Finding{}, err
	}
	was, err := readIfThere(h.Path(firewallRules))
	if err != nil {
		return Finding{}, err
	}
	var diff string
	if !bytes.Equal(was, []byte(f.Rules)) {
		diff = textDiff(firewallRules, was, []byte(f.Rules))
	}
	unit, err := f.unit.Inspect(ctx, h)
	if err != nil {
		return Finding{}, err
	}
	diff += unit.Diff
	if bytes.Equal(was, []byte(f.Rules)) {
		loaded, err := loadedDiff(ctx, h)
		if err != nil {
			return Finding{}, err
		}
		diff += loaded
	}
	return Finding{Change: diff != "", Diff: diff, Disrupts: Nothing}, nil
}

func (f *firewall) Apply(ctx context.Context, h *Machine) error {
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
func (f *firewall) Undo(ctx context.Context, h *Machine) error {
	any, err := putBack(h)
	if err != nil || !any {
		return err
	}
	if _, err := h.Run.Run(ctx, Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of the former firewall: %w", err)
	}
	rules, err := readIfThere(h.Path(firewallRules))
	if err != nil {
		return err
	}
	if rules == nil {
		if err := runNFT(ctx, h, emptyTable); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return runNFT(ctx, h, string(rules))
}

// keep makes confirmed rules those of the next boot.
func (f *firewall) keep(ctx context.Context, h *Machine) error {
	listing, err := loadedTable(ctx, h, "--numeric")
	if err != nil {
		return err
	}
	if err := writeFile(h, firewallRules, []byte(f.Rules), owner{mode: 0o644}); err != nil {
		return err
	}
	if err := writeFile(h, firewallListing, listing, owner{mode: 0o600}); err != nil {
		return err
	}
	if err := f.unit.Apply(ctx, h); err != nil {
		return err
	}
	if _, err := h.Run.Run(ctx, Command{Argv: []string{"systemctl", "start", firewallUnit}}); err != nil {
		return fmt.Errorf("starting %s: %w", firewallUnit, err)
	}
	return nil
}

// files are all that a firewall of ours is made of.
func (f *firewall) files() []string {
	return []string{f.unit.link, f.unit.Path, firewallRules, firewallListing}
}

// leftovers is what is there of a firewall that is no longer wanted.
func (f *firewall) leftovers(h *Machine) (string, error) {
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
func (f *firewall) remove(ctx context.Context, h *Machine) error {
	if err := (&firewallTrial{h: h}).endFormer(ctx); err != nil {
		return err
	}
	if _, err := os.Lstat(h.Path(f.unit.Path)); err == nil {
		if _, err := h.Run.Run(ctx, Command{Argv: []string{"systemctl", "stop", firewallUnit}}); err != nil {
			return fmt.Errorf("stopping %s: %w", firewallUnit, err)
		}
	}
	if err := runNFT(ctx, h, emptyTable); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, file := range f.files() {
		if err := removeFile(h, file); err != nil {
			return err
		}
	}
	_ = os.Remove(h.Path(path.Dir(firewallRules))) // if nothing else is in it
	if _, err := h.Run.Run(ctx, Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of the firewall's end: %w", err)
	}
	return nil
}

// noOtherFirewall refuses a host that somebody else's firewall looks after: of two, the
// one would undo or hide what the other does. ufw says by its own setting whether it is
// on, since its unit ends with loading the rules (ufw.conf).
func noOtherFirewall(ctx context.Context, h *Machine) error {
	refuse := func(name, fix string) error {
		return &problem.Error{Kind: problem.Failed, Doing: "looking for other firewalls", Object: name,
			Err: errors.New("it is active on this host, and the site file says that valtctl manages the firewall"),
			Fix: fix + ", or write firewall: off in the site file"}
	}
	config, err := readIfThere(h.Path("/etc/ufw/ufw.conf"))
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
	if _, err := h.Run.Run(ctx, Command{Argv: []string{"systemctl", "--quiet", "is-active", "firewalld.service"}}); err == nil {
		return refuse("firewalld", "switch it off with: systemctl disable --now firewalld")
	}
	return ctx.Err()
}
