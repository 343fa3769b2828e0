package cases

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/sleep"
	"ipivs.com/valtctl/updater/drain"
)

// switched stands in place of a kind of steps for the moment when all are done.
const switched step.KindName = "switched"

// updateKillAnywhere disturbs an update of one media host at every kind of its steps: the
// controller is killed, or the host rebooted, and another controller with only the site
// file goes on; without one the host goes back by itself within the deadline; and an
// engine that restarts in a soak brings the right containers.
func updateKillAnywhere(ctx context.Context, e *Env) error {
	kinds := []step.KindName{docker.KindImage, apt.KindDownload, drain.KindDrain, apt.KindPackages, docker.KindContainer, docker.KindHealth, switched}
	if e.Sample {
		n := e.Random.IntN(len(kinds))
		kinds = kinds[n : n+1]
	}
	for i, kind := range kinds {
		reboot := i%2 == e.Random.IntN(2)
		then := func(context.Context, string) error { return nil }
		if reboot {
			then = e.Reboot
		}
		if err := e.Timed(fmt.Sprintf("struck at %s (reboot: %t)", kind, reboot), func() error { return e.updateStruck(ctx, kind, then) }); err != nil {
			return err
		}
	}
	return e.parts(ctx,
		show{"left alone for good", e.leftAlone},
		show{"aborted by another controller", e.aborted},
		show{"the engine restarted in the soak", e.engineRestarts})
}

// updateStruck disturbs one update of a host further than by killing its controller, and has
// another one finish it.
func (e *Env) updateStruck(ctx context.Context, kind step.KindName, further func(ctx context.Context, host string) error) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	return e.updateStruckOn(ctx, host, kind, further)
}

func (e *Env) updateStruckOn(ctx context.Context, host string, kind step.KindName, further func(ctx context.Context, host string) error) error {
	if err := e.strikeUpdate(ctx, host, releases.Canary, kind, nil); err != nil {
		return err
	}
	if err := further(ctx, host); err != nil {
		return err
	}
	other, err := e.elsewhere()
	if err != nil {
		return err
	}
	defer os.RemoveAll(other.State)
	if err := other.awaitLease(ctx); err != nil {
		return err
	}
	if _, err := other.Expect(ctx, 0, "resume", "--yes", "--host", host); err != nil {
		return err
	}
	if err := e.haveReleases(ctx, map[string]string{host: releases.Canary}); err != nil {
		return err
	}
	return e.settled(ctx, host)
}

func (e *Env) oneMedia() (string, error) {
	media, err := e.mediaHosts()
	if err != nil {
		return "", err
	}
	return media[e.Random.IntN(len(media))].Name, nil
}

// strikeUpdate begins an update of a host to a release and kills the controller when a step of the kind
// begins, or once the host has switched.
func (e *Env) strikeUpdate(ctx context.Context, host, release string, kind step.KindName, more []string) error {
	command := e.Command(ctx, append([]string{"update", "--to", release, "--yes", "--soak", e.soak(), "--lease", shortLease, "--host", host, "--events"}, more...)...)
	var said strings.Builder
	command.Stderr = &said
	out, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting the product: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting the product: %w", err)
	}
	struck := false
	err = eachEvent(out, func(one saidEvent) {
		now := one.StepKind == kind || strings.Contains(one.Text, string(kind)) && kind == switched
		if !struck && one.Host == host && now {
			struck = true
			_ = command.Process.Kill() // it is what the scenario is about
		}
	})
	if ended := command.Wait(); !struck {
		return fmt.Errorf("the update ended before %s: %w: %s", kind, errors.Join(ended, err), said.String())
	}
	return nil
}

// awaitLease waits until the killed controller's lease is over.
func (e *Env) awaitLease(ctx context.Context) error {
	for start := e.Now(); e.Now().Sub(start) < hostWithin; {
		shown, err := e.Run(ctx, "lock", "show")
		if err != nil {
			return err
		}
		if strings.Contains(shown.Stdout, "nobody") {
			return nil
		}
		if err := sleep.For(ctx, time.Second); err != nil {
			return err
		}
	}
	return errors.New("the lease of a killed controller does not end")
}

// settled wants nothing to be left of an update: one container, the gate open, no unit.
func (e *Env) settled(ctx context.Context, host string) error {
	out, err := e.Lab.Output(ctx, host, "docker", "ps", "-a", "--format", "{{.Names}} {{.State}}")
	if err != nil {
		return err
	}
	if strings.TrimSpace(out) != "valt-engine running" {
		return fmt.Errorf("%s has the containers %q", host, out)
	}
	if err := e.gateOpen(ctx, host); err != nil {
		return err
	}
	if err := e.over(ctx, host); err != nil {
		return err
	}
	return e.serves(ctx)
}

// over wants no transaction of a host to be unfinished: its timer goes with the last one.
func (e *Env) over(ctx context.Context, host string) error {
	left, err := outputIfThere(ctx, e.Lab, host, "find", "/etc/systemd/system", "-name", "valtctl-resume.timer")
	if err == nil && left != "" {
		err = fmt.Errorf("%s still has %s", host, left)
	}
	return err
}

// awaitOver waits until the host has ended its transaction by itself.
func (e *Env) awaitOver(ctx context.Context, host string) error {
	for start := e.Now(); ; {
		err := e.over(ctx, host)
		if err == nil || e.Now().Sub(start) > hostWithin {
			return err
		}
		if err := sleep.For(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// leftAlone kills the controller for good once the host has switched: within the deadline
// the host is what it was, without anybody.
func (e *Env) leftAlone(ctx context.Context) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	site, err := e.siteWith("updates: { confirm_within: 10s }\n")
	if err != nil {
		return err
	}
	if err := e.strikeUpdate(ctx, host, releases.Canary, switched, []string{"--site", site}); err != nil {
		return err
	}
	if err := e.awaitBack(ctx, host); err != nil {
		return err
	}
	if err := e.haveReleases(ctx, map[string]string{host: releases.Stable}); err != nil {
		return err
	}
	if err := e.serves(ctx); err != nil {
		return err
	}
	if err := e.awaitLease(ctx); err != nil {
		return err
	}
	_, err = e.Expect(ctx, 0, "resume", "--yes", "--host", host)
	return err
}

// awaitBack waits until a host that nobody confirms has gone back by itself.
func (e *Env) awaitBack(ctx context.Context, host string) error {
	start := e.Now()
	for e.gateOpen(ctx, host) != nil {
		if e.Now().Sub(start) > hostWithin {
			return fmt.Errorf("%s still waits after %s", host, e.Now().Sub(start).Round(time.Second))
		}
		if err := sleep.For(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	e.Measure("back by itself", "%.1f s after it had switched, with 10 s to confirm", e.Now().Sub(start).Seconds())
	return nil
}

// aborted kills the controller once the host has switched; another one ends the rollout.
func (e *Env) aborted(ctx context.Context) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	if err := e.strikeUpdate(ctx, host, releases.Canary, switched, nil); err != nil {
		return err
	}
	other, err := e.elsewhere()
	if err != nil {
		return err
	}
	defer os.RemoveAll(other.State)
	if err := other.awaitLease(ctx); err != nil {
		return err
	}
	if shown, err := other.Expect(ctx, 3, "status"); err != nil || !strings.Contains(shown.Stderr, "a rollout is unfinished") {
		return fmt.Errorf("status does not tell of the rollout: %w: %s", err, shown.Stderr)
	}
	if _, err := other.Expect(ctx, 0, "abort", "--yes"); err != nil {
		return err
	}
	if err := e.haveReleases(ctx, map[string]string{host: releases.Stable}); err != nil {
		return err
	}
	if _, err := other.Expect(ctx, 0, "status", "--drift"); err != nil {
		return err
	}
	return e.settled(ctx, host)
}

// siteWith is a site file with more in it, beside the lab's own.
func (e *Env) siteWith(more string) (string, error) {
	text, err := os.ReadFile(e.Lab.Path("site.yaml"))
	if err != nil {
		return "", fmt.Errorf("reading the site file: %w", err)
	}
	name := e.Lab.Path("site-of-a-scenario.yaml")
	if err := os.WriteFile(name, append(text, more...), 0o600); err != nil {
		return "", fmt.Errorf("writing a site file: %w", err)
	}
	return filepath.Base(name), nil
}

// engineRestarts restarts a host's Docker engine while the host is watched.
func (e *Env) engineRestarts(ctx context.Context) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	command := e.Command(ctx, "update", "--to", releases.Canary, "--yes", "--soak", "8s", "--host", host, "--events")
	out, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting the product: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting the product: %w", err)
	}
	var restarted error
	done := false
	err = eachEvent(out, func(said saidEvent) {
		if !done && said.Host == host && strings.Contains(said.Text, "watched for another") {
			done = true
			_, restarted = e.Lab.Output(ctx, host, "systemctl", "restart", "docker.service")
		}
	})
	if err := errors.Join(err, command.Wait(), restarted); err != nil || !done {
		return fmt.Errorf("updating with an engine that restarts (restarted: %t): %w", done, err)
	}
	if err := e.haveReleases(ctx, map[string]string{host: releases.Canary}); err != nil {
		return err
	}
	return e.settled(ctx, host)
}
