package firewall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/nft"
	"ipivs.com/valtctl/repos/problem"
)

// A trial's files are in memory: a reboot in its middle ends with the former rules.
const (
	trialFolder = "/run/valtctl/firewall"
	trialFormer = trialFolder + "/former.nft"
	trialNew    = trialFolder + "/new.nft"

	revertUnit = "valtctl-firewall-revert"
)

// firewallTrial puts rules in force on trial.
type firewallTrial struct {
	h      *step.Machine
	within time.Duration
}

// run loads rules, asks for a confirmation and returns nil if it came: the rules are in
// force then and nothing will put them back. On any error the former state is back.
func (t firewallTrial) run(ctx context.Context, rules string) error {
	defer os.RemoveAll(t.h.Path(trialFolder))
	if err := t.prepare(ctx, rules); err != nil {
		return err
	}
	if err := t.arm(ctx); err != nil {
		return err
	}
	if err := t.prove(ctx); err != nil {
		return errors.Join(err, t.putBack(context.WithoutCancel(ctx)))
	}
	return nil
}

// prove has the new rules in force until they are confirmed.
func (t firewallTrial) prove(ctx context.Context) error {
	if err := nft.Load(ctx, t.h, trialNew); err != nil {
		return err
	}
	inForce, err := loadedTable(ctx, t.h)
	if err != nil {
		return err
	}
	if err := t.await(ctx); err != nil {
		return err
	}
	return t.disarm(ctx, inForce)
}

// prepare writes the new rules, has nft judge them, and writes how to go back.
func (t firewallTrial) prepare(ctx context.Context, rules string) error {
	if err := os.MkdirAll(t.h.Path(trialFolder), 0o700); err != nil {
		return fmt.Errorf("making the folder of the firewall's trial: %w", err)
	}
	if err := step.WriteFile(t.h, trialNew, []byte(rules), step.Owner{Mode: 0o600}); err != nil {
		return err
	}
	if _, err := t.h.Run.Run(ctx, step.Command{Argv: []string{nft.Program, "--check", "-f", t.h.Path(trialNew)}}); err != nil {
		return fmt.Errorf("checking the firewall's rules: %w", err)
	}
	former, err := loadedTable(ctx, t.h)
	if err != nil {
		return err
	}
	return step.WriteFile(t.h, trialFormer, append([]byte(table.Empty()), former...), step.Owner{Mode: 0o600})
}

// arm has systemd put the former rules back after the time to confirm, whatever becomes
// of this process (systemd-run(1), timer options).
func (t firewallTrial) arm(ctx context.Context) error {
	_, err := t.h.Run.Run(ctx, step.Command{Argv: []string{
		"systemd-run", "--quiet", "--collect", "--no-ask-password", "--unit", revertUnit,
		"--description", "Put back the firewall that was there before",
		"--on-active", strconv.Itoa(int(t.within / time.Second)), "--timer-property", "AccuracySec=1s",
		"--", nft.Program, "-f", t.h.Path(trialFormer)}})
	if err != nil {
		return fmt.Errorf("arming the way back to the former firewall: %w", err)
	}
	return nil
}

// await asks whoever follows for a confirmation, and waits for the answer.
func (t firewallTrial) await(ctx context.Context) error {
	refused, err := step.Ask(ctx, t.h, step.Reachable, "waiting for a new connection, which proves that the host can still be reached", t.within)
	switch {
	case errors.Is(err, step.ErrNoAnswer):
		return notConfirmed(fmt.Errorf("no new connection confirmed them within %s", t.within))
	case err != nil:
		return fmt.Errorf("waiting for the firewall to be confirmed: %w", err)
	case refused != "":
		return notConfirmed(fmt.Errorf("no new connection could be made under them: %s", refused))
	}
	return nil
}

func notConfirmed(why error) error {
	return &problem.Error{Kind: problem.Failed, Doing: "switching on", Object: "the new firewall rules",
		Err: fmt.Errorf("%w, so the former ones are back in force", why),
		Fix: "write the address that valtctl connects from into admins in the site file (with a jump host, the jump host's), " +
			"and look at the rules with: valtctl network -o nft"}
}

// disarm ends the way back. The timer may have gone off in the same moment, so what is
// in force is asked after both of its units have ended.
func (t firewallTrial) disarm(ctx context.Context, inForce []byte) error {
	if err := t.stopRevert(ctx); err != nil {
		return err
	}
	now, err := loadedTable(ctx, t.h)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, inForce) {
		return notConfirmed(errors.New("the confirmation came too late"))
	}
	return nil
}

// stopRevert stops the timer and what it may have started. Units that are not there are
// no error (systemctl exits 5).
func (t firewallTrial) stopRevert(ctx context.Context) error {
	for _, unit := range []string{revertUnit + ".timer", revertUnit + ".service"} {
		out, err := t.h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "stop", unit}})
		if err != nil && out.Code != 5 {
			return fmt.Errorf("stopping %s: %w", unit, err)
		}
	}
	return nil
}

// putBack is what the timer would do, now.
func (t firewallTrial) putBack(ctx context.Context) error {
	if err := nft.Load(ctx, t.h, trialFormer); err != nil {
		return err // the timer tries again
	}
	return t.stopRevert(ctx)
}

// endFormer puts back what a trial that was killed in its middle left, so that the next
// one begins with what was there before.
func (t firewallTrial) endFormer(ctx context.Context) error {
	if _, err := os.Stat(t.h.Path(trialFolder)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, err := t.h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "--quiet", "is-active", revertUnit + ".timer"}})
	if err == nil {
		err = t.putBack(ctx)
	} else {
		err = ctx.Err() // it is not armed: what is in force stays
	}
	return errors.Join(err, os.RemoveAll(t.h.Path(trialFolder)))
}

// loadedTable is our table as the kernel has it; empty where it is not loaded or there is no
// nft yet.
func loadedTable(ctx context.Context, h *step.Machine, options ...string) ([]byte, error) {
	listing, err := table.Listing(ctx, h, options...)
	if nft.NoProgram(err) {
		return nil, nil
	}
	return listing, err
}

// loadedDiff tells how what is in force differs from what was confirmed.
func loadedDiff(ctx context.Context, h *step.Machine) (string, error) {
	loaded, err := loadedTable(ctx, h, "--numeric")
	if err != nil {
		return "", err
	}
	if len(loaded) == 0 {
		return fmt.Sprintf("- table %s is not loaded\n+ table %s is loaded\n", table, table), nil
	}
	listing, err := step.ReadIfThere(h.Path(firewallListing))
	if err != nil || bytes.Equal(listing, loaded) {
		return "", err
	}
	return step.TextDiff("table "+string(table), loaded, listing), nil
}
