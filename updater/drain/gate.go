package drain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/nft"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// Where a closed gate is on a host.
const (
	rulesFile = facts.GateRules
	unitName  = "valtctl-drain.service"
	// transactionMark is there while the gate is closed by a transaction, which opens it at its
	// end, and while a person's drain is in its middle. A gate that a person has closed stays closed.
	transactionMark = "/var/lib/valtctl/drain.transaction"
)

// closer is who has closed a gate, as transactionMark says.
type closer int

// Those who may have.
const (
	nobody      closer = iota // it is open, or a person's
	transaction               // one with a way back, or that ended in quarantine
	cutOff                    // a person's drain that has not come to its end
)

// cutOffMark is what transactionMark holds of a drain that has not come to its end. A mark without it is a
// transaction's.
const cutOffMark = "drain\n"

// unitText loads the gate early at boot, before Docker starts what it keeps sessions out
// of. It removes no other table.
const unitText = `# Written by valtctl while this host is drained. It looks after the table "` + string(table) + `" alone.
[Unit]
Description=No new VALT sessions on this host
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target docker.service
After=local-fs.target systemd-modules-load.service nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
StandardInput=null
ExecStart=` + nft.Program + ` -f ` + rulesFile + `

[Install]
WantedBy=sysinit.target
`

// gate is what keeps sessions out of a host.
type gate struct{ unit step.Step }

func newGate() (*gate, error) {
	raw, err := json.Marshal(system.UnitParams{Name: unitName, Content: unitText, WantedBy: "sysinit.target"})
	if err != nil {
		return nil, fmt.Errorf("writing the gate's unit: %w", err)
	}
	unit, err := system.UnitKind().New(raw)
	return &gate{unit}, err
}

// closedDiff is how the gate differs from being closed by these rules; empty: it does not.
func (g *gate) closedDiff(ctx context.Context, h *step.Machine, rules string) (string, error) {
	was, err := os.ReadFile(h.Path(rulesFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("looking at the gate: %w", err)
	}
	if string(was) != rules {
		return "- the gate is open\n+ the gate is closed for new sessions\n", nil
	}
	found, err := g.unit.Inspect(ctx, h)
	if err != nil {
		return "", err
	}
	loaded, err := table.Loaded(ctx, h)
	if err != nil {
		return "", fmt.Errorf("looking at the gate: %w", err)
	}
	if !loaded {
		found.Diff += "- the gate's rules are not loaded\n+ the gate's rules are loaded\n"
	}
	return found.Diff, nil
}

// mark notes who closes the gate, before anything of it is there.
func (g *gate) mark(h *step.Machine, by closer) error {
	if err := hasNft(h); err != nil {
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(h.Path(transactionMark)), 0o755); err != nil {
		return fmt.Errorf("closing the gate: %w", err)
	}
	text := ""
	if by == cutOff {
		text = cutOffMark
	}
	if err := durable.WriteFile(h.Path(transactionMark), []byte(text), 0o600); err != nil {
		return fmt.Errorf("closing the gate: %w", err)
	}
	return nil
}

// closer reads who has closed the gate.
func (g *gate) closer(h *step.Machine) (closer, error) {
	text, err := os.ReadFile(h.Path(transactionMark))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nobody, nil
	case err != nil:
		return nobody, fmt.Errorf("looking who has closed the gate: %w", err)
	case string(text) == cutOffMark:
		return cutOff, nil
	}
	return transaction, nil
}

// keep makes a closed gate a person's, which no transaction opens.
func (g *gate) keep(h *step.Machine) error {
	if err := durable.Remove(h.Path(transactionMark)); err != nil {
		return fmt.Errorf("keeping the gate closed: %w", err)
	}
	return nil
}

func hasNft(h *step.Machine) error {
	if _, err := os.Stat(h.Path(nft.Program)); err != nil {
		return &problem.Error{Kind: problem.Failed, Doing: "closing the gate for new sessions", Err: err,
			Fix: "install nftables there: valtctl install"}
	}
	return nil
}

// close closes the gate, for the next boot as well. What a boot finds is written first: a
// power cut in between leaves a gate that closes then, which its undoing opens.
func (g *gate) close(ctx context.Context, h *step.Machine, rules string) error {
	if err := hasNft(h); err != nil {
		return err
	}
	if err := durable.WriteFile(h.Path(rulesFile), []byte(rules), 0o600); err != nil {
		return fmt.Errorf("closing the gate: %w", err)
	}
	if err := g.unit.Apply(ctx, h); err != nil {
		return fmt.Errorf("closing the gate: %w", err)
	}
	if err := nft.Load(ctx, h, rulesFile); err != nil {
		return fmt.Errorf("closing the gate: %w", err)
	}
	return nil
}

// left lists the files of a closed gate that are there.
func (g *gate) left(h *step.Machine) ([]string, error) {
	var files []string
	for _, file := range gateFiles() {
		_, err := os.Lstat(h.Path(file))
		if err == nil {
			files = append(files, file)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("looking at the gate: %w", err)
		}
	}
	return files, nil
}

// gateFiles are all files of a closed gate, in the order in which they are removed.
func gateFiles() []string {
	return []string{"/etc/systemd/system/sysinit.target.wants/" + unitName, "/etc/systemd/system/" + unitName, rulesFile, transactionMark}
}

// open opens the gate, whatever is there of it. Its files go last, and only once the kernel
// has said that it has no rules of it any more: they are what tells that a gate may be closed.
func (g *gate) open(ctx context.Context, h *step.Machine) error {
	left, err := g.left(h)
	if err != nil {
		return err
	}
	loaded, err := table.Loaded(ctx, h)
	if nft.NoProgram(err) && len(left) == 0 {
		return nil // nothing was ever closed here
	}
	if err == nil && loaded {
		err = table.Remove(ctx, h)
	}
	if err != nil {
		return fmt.Errorf("opening the gate: %w", err)
	}
	if len(left) == 0 {
		return nil
	}
	for _, file := range left {
		if err := durable.Remove(h.Path(file)); err != nil {
			return fmt.Errorf("opening the gate: %w", err)
		}
	}
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd that the gate is open: %w", err)
	}
	return nil
}
