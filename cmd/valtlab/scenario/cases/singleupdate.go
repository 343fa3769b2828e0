package cases

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/repos/sleep"
)

// singleServerUpdate has the one server, application and media, update itself and roll
// back, without SSH. One that an earlier scenario of this run left, installed by itself, is
// taken as it is.
func singleServerUpdate(ctx context.Context, e *Env) (err error) {
	if left := e.shared.single; left != nil {
		defer func() { err = errors.Join(err, e.removeSingle(context.WithoutCancel(ctx))) }()
		if err := e.singleHas(ctx, releases.Stable); err != nil {
			return err
		}
		return updatesItself(ctx, e, *left)
	}
	return e.onOneServer(ctx, func(host lab.Host) error {
		if _, err := e.Lab.Output(ctx, singleName, "systemctl", "stop", "ssh.service"); err != nil {
			return fmt.Errorf("doing without SSH: %w", err)
		}
		if err := e.singleGoes(ctx, releases.Stable, "install", "--yes"); err != nil {
			return err
		}
		return updatesItself(ctx, e, host)
	})
}

func updatesItself(ctx context.Context, e *Env, host lab.Host) error {
	err := e.parts(ctx, show{"there and back", func(ctx context.Context) error {
		if err := e.singleGoes(ctx, releases.Canary, e.quick("update", "--to", releases.Canary)...); err != nil {
			return err
		}
		return e.singleGoes(ctx, releases.Stable, e.quick("rollback")...)
	}}, show{"rebooted in the middle", func(ctx context.Context) error { return singleRebooted(ctx, e) }})
	if err != nil {
		return err
	}
	return e.noneLost(ctx, []lab.Host{host})
}

// singleGoes has the server bring itself to a release.
func (e *Env) singleGoes(ctx context.Context, release string, args ...string) error {
	if err := e.Timed(args[0], func() error { return onSingle(ctx, e, args...) }); err != nil {
		return err
	}
	return e.singleHas(ctx, release)
}

// singleHas wants the server to have a release, and to let people in.
func (e *Env) singleHas(ctx context.Context, release string) error {
	if err := e.haveReleases(ctx, map[string]string{singleName: release}); err != nil {
		return err
	}
	return e.gateOpen(ctx, singleName)
}

// singleRebooted reboots the server in the middle of its own update: it goes on by itself.
func singleRebooted(ctx context.Context, e *Env) error {
	going, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- onSingle(going, e, e.quick("update", "--to", releases.Canary)...) }()
	if err := e.comebackUnit(ctx, true); err != nil {
		return errors.Join(err, stopped(stop, ended))
	}
	after := time.Duration(e.Random.IntN(10_000)) * time.Millisecond
	if err := sleep.For(ctx, after); err != nil {
		return err
	}
	if err := e.Reboot(ctx, singleName); err != nil {
		return err
	}
	_ = stopped(stop, ended) // its connection died with the server
	start := e.Now()
	if err := e.comebackUnit(ctx, false); err != nil {
		return fmt.Errorf("after a reboot %s into its update: %w", after, err)
	}
	e.Measure("rebooted in its own update", "%.1f s after its begin; it was over %.1f s after the boot, with nobody there", after.Seconds(), e.Now().Sub(start).Seconds())
	if err := e.haveReleases(ctx, map[string]string{singleName: releases.Canary}); err != nil {
		return err
	}
	return e.gateOpen(ctx, singleName)
}

func stopped(stop func(), ended <-chan error) error {
	stop()
	return <-ended
}

// comebackUnit waits until what goes on with a rollout at the next boot is there, or is
// gone with the rollout's end.
func (e *Env) comebackUnit(ctx context.Context, there bool) error {
	start := e.Now()
	for {
		unit, err := outputIfThere(ctx, e.Lab, singleName, "find", "/etc/systemd/system", "-name", "valtctl-rollout.service")
		if err == nil && (unit != "") == there {
			return nil
		}
		if e.Now().Sub(start) > hostWithin {
			return fmt.Errorf("the unit of the rollout on %s: there %t, for %s (%w)", singleName, !there, hostWithin, err)
		}
		if err := sleep.For(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// onSingle runs the product on the server as its administrator would.
func onSingle(ctx context.Context, e *Env, args ...string) error {
	var said strings.Builder
	code, err := e.Lab.Exec(ctx, singleName, containers.Exec{Argv: append([]string{"/usr/local/bin/valtctl"}, append(args, "--site", singleFolder+"/site.yaml")...),
		Stdout: &said, Stderr: &said})
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("valtctl %v on the server: exit %d: %s", args, code, said.String())
	}
	return nil
}
