package system

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/sleep"
)

// RebootParams is a reboot where one is wanted, after everything else was changed.
type RebootParams struct {
	// LastLook is at the recorders, right before; nil: nothing records here.
	LastLook *docker.LastLook `json:"last_look,omitempty"`
}

// rebootPatience is how long a host may take to go down.
const rebootPatience = 10 * time.Minute

// KindReboot names what RebootKind makes.
const KindReboot step.KindName = "reboot"

// RebootKind reboots the host, once in a transaction, if a package asked for it
// (/run/reboot-required, Debian policy 9.3.3 and update-notifier) or a newer kernel waits.
// The transaction goes on after the boot, and looks at everything before it again.
func RebootKind() step.Kind {
	return step.KindOf(KindReboot, step.Reversible, func(p RebootParams) (step.Step, error) {
		quiet, err := p.LastLook.Between()
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

func (r *reboot) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	asked, err := r.askedIn(h)
	if err != nil || asked != "" && asked != h.BootID {
		return step.Finding{Disrupts: step.Nothing}, err // it is done: never twice
	}
	notes := apt.RebootNotes(ctx, h)
	if len(notes) == 0 {
		return step.Finding{Disrupts: step.Nothing}, nil
	}
	return step.Finding{Change: true, Diff: "+ reboot: " + strings.Join(notes, ", ") + "\n", Disrupts: step.Host}, nil
}

// askedIn is the boot in which this transaction has asked for its reboot; empty: it has not.
func (r *reboot) askedIn(h *step.Machine) (string, error) {
	if h.Keep == "" {
		return "", nil
	}
	text, err := step.ReadIfThere(filepath.Join(h.Keep, bootFile))
	if err != nil {
		return "", fmt.Errorf("reading whether the host was rebooted: %w", err)
	}
	return string(text), nil
}

// Apply does not return before the host goes down. Without a transaction that goes on
// afterwards it does not reboot.
func (r *reboot) Apply(ctx context.Context, h *step.Machine) error {
	if h.Keep == "" {
		return errors.New("rebooting: nothing would go on after it")
	}
	if err := r.LastLook.Refuse(ctx, h, r.quiet, "the host"); err != nil {
		return err
	}
	if err := durable.MkdirAll(h.Keep, 0o700); err != nil {
		return fmt.Errorf("rebooting: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(h.Keep, bootFile), []byte(h.BootID), 0o600); err != nil {
		return fmt.Errorf("rebooting: %w", err)
	}
	h.Report(step.Progress{Text: "rebooting"})
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "reboot"}}); err != nil && ctx.Err() == nil {
		return fmt.Errorf("rebooting: %w", err)
	}
	if err := sleep.For(ctx, r.patience); err != nil {
		return fmt.Errorf("rebooting: %w", err) // this process is ended with the host
	}
	return fmt.Errorf("rebooting: the host still runs after %s", r.patience)
}

// Undo leaves a reboot that has been.
func (r *reboot) Undo(context.Context, *step.Machine) error { return nil }
