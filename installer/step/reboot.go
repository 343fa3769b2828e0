package step

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/sleep"
)

// RebootParams is a reboot where one is wanted, after everything else was changed.
type RebootParams struct {
	// LastLook is at the recorders, right before; nil: nothing records here.
	LastLook *LastLook `json:"last_look,omitempty"`
}

// rebootPatience is how long a host may take to go down.
const rebootPatience = 10 * time.Minute

// KindReboot names what RebootKind makes.
const KindReboot KindName = "reboot"

// RebootKind reboots the host, once in a transaction, if a package asked for it
// (/run/reboot-required, Debian policy 9.3.3 and update-notifier) or a newer kernel waits.
// The transaction goes on after the boot, and looks at everything before it again.
func RebootKind() Kind {
	return kindOf(KindReboot, Reversible, func(p RebootParams) (Step, error) {
		quiet, err := p.LastLook.between()
		return &reboot{RebootParams: p, quiet: quiet, patience: rebootPatience}, err
	})
}

type reboot struct {
	RebootParams
	quiet    time.Duration
	patience time.Duration
}

// bootFile is, in the step's folder, the boot in which the reboot was asked for.
const bootFile = "boot"

func (r *reboot) Inspect(ctx context.Context, h *Machine) (Finding, error) {
	asked, err := r.askedIn(h)
	if err != nil || asked != "" && asked != h.BootID {
		return Finding{Disrupts: Nothing}, err // it is done: never twice
	}
	notes := rebootNotes(ctx, h)
	if len(notes) == 0 {
		return Finding{Disrupts: Nothing}, nil
	}
	return Finding{Change: true, Diff: "+ reboot: " + strings.Join(notes, ", ") + "\n", Disrupts: Host}, nil
}

// askedIn is the boot in which this transaction has asked for its reboot; empty: it has not.
func (r *reboot) askedIn(h *Machine) (string, error) {
	if h.Keep == "" {
		return "", nil
	}
	text, err := readIfThere(filepath.Join(h.Keep, bootFile))
	if err != nil {
		return "", fmt.Errorf("reading whether the host was rebooted: %w", err)
	}
	return string(text), nil
}

// Apply does not return before the host goes down. Without a transaction that goes on
// afterwards it does not reboot.
func (r *reboot) Apply(ctx context.Context, h *Machine) error {
	if h.Keep == "" {
		return errors.New("rebooting: nothing would go on after it")
	}
	if err := r.LastLook.refuse(ctx, h, r.quiet, "the host"); err != nil {
		return err
	}
	if err := os.MkdirAll(h.Keep, 0o700); err != nil {
		return fmt.Errorf("rebooting: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(h.Keep, bootFile), []byte(h.BootID), 0o600); err != nil {
		return fmt.Errorf("rebooting: %w", err)
	}
	h.Report(Progress{Text: "rebooting"})
	if _, err := h.Run.Run(ctx, Command{Argv: []string{"systemctl", "reboot"}}); err != nil && ctx.Err() == nil {
		return fmt.Errorf("rebooting: %w", err)
	}
	if err := sleep.For(ctx, r.patience); err != nil {
		return fmt.Errorf("rebooting: %w", err) // this process is ended with the host
	}
	return fmt.Errorf("rebooting: the host still runs after %s", r.patience)
}

// Undo leaves a reboot that has been.
func (r *reboot) Undo(context.Context, *Machine) error { return nil }
