package cases

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/repos/sleep"
)

// updating runs an update of one media host to a release to its end, and does something, once, when the
// product tells of something about a host. It returns the exit code and all that was said.
func (e *Env) updating(ctx context.Context, host, release string, when func(saidEvent) bool, do func() error, more ...string) (code int, said string, err error) {
	command := e.Command(ctx, append([]string{"update", "--to", release, "--yes", "--host", host, "--events"}, more...)...)
	var stderr, text strings.Builder
	command.Stderr = &stderr
	out, err := command.StdoutPipe()
	if err != nil {
		return 0, "", fmt.Errorf("starting the product: %w", err)
	}
	if err := command.Start(); err != nil {
		return 0, "", fmt.Errorf("starting the product: %w", err)
	}
	did := make(chan error, 1)
	begun := false
	err = eachEvent(out, func(one saidEvent) {
		fmt.Fprintf(&text, "%s %s\n", one.Host, one.Text)
		if !begun && when(one) {
			begun = true
			go func() { did <- do() }() // what is said meanwhile must be read
		}
	})
	_ = command.Wait() // its exit code tells
	if !begun {
		return 0, "", fmt.Errorf("the update ended before that: %w: %s%s", errors.Join(err), text.String(), stderr.String())
	}
	return command.ProcessState.ExitCode(), text.String() + stderr.String(), errors.Join(err, <-did)
}

// inSoak is when the product tells that it watches the host, which is done.
func inSoak(host string) func(saidEvent) bool {
	return func(one saidEvent) bool { return one.Host == host && strings.Contains(one.Text, "watched for another") }
}

// linksLost loses links during a healthy soak: to the host that is watched, to the one that keeps
// the lease and bears witness, and to all. Nobody is taken back for it, and the rollout goes on.
func linksLost(ctx context.Context, e *Env) error {
	return e.parts(ctx,
		show{"the link of the witness", func(ctx context.Context) error { return e.linkLost(ctx, []string{"app1"}) }},
		show{"the link of the host itself", func(ctx context.Context) error { return e.linkLost(ctx, nil) }})
}

func (e *Env) linkLost(ctx context.Context, hosts []string) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		hosts = []string{host}
	}
	lose := func() error {
		for _, h := range hosts {
			if err := e.loseLink(ctx, h); err != nil {
				return err
			}
		}
		return nil
	}
	code, said, err := e.updating(ctx, host, releases.Canary, inSoak(host), lose, "--soak", "12s")
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("a lost link ended the update with %d: %s", code, said)
	}
	if err := e.haveReleases(ctx, map[string]string{host: releases.Canary}); err != nil {
		return err
	}
	return e.settled(ctx, host)
}

// loseLink loses a host's link to the controller for a while: what comes from this machine alone,
// which has the network's first address. The site's own hosts reach each other.
func (e *Env) loseLink(ctx context.Context, host string) error {
	from := netip.PrefixFrom(e.Lab.World().Prev(), 32)
	return fault.Hold(ctx, e.Lab, fault.Packets{Host: host, Verdict: fault.Reject, From: from}, 4*time.Second)
}

// stateLost kills the controller in the middle of a host's change and takes its folder away: the
// same machine goes on with the site file alone.
func stateLost(ctx context.Context, e *Env) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	own, err := e.elsewhere()
	if err != nil {
		return err
	}
	if err := own.strikeUpdate(ctx, host, releases.Canary, switched, nil); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(own.State), os.MkdirAll(own.State, 0o700)); err != nil {
		return fmt.Errorf("taking the controller's folder away: %w", err)
	}
	defer os.RemoveAll(own.State)
	if err := own.awaitLease(ctx); err != nil {
		return err
	}
	result, err := own.Expect(ctx, 0, "resume", "--yes")
	if err != nil {
		return err
	}
	if !strings.Contains(result.Stdout+result.Stderr, host) {
		return fmt.Errorf("it does not say what became of %s: %s%s", host, result.Stdout, result.Stderr)
	}
	if err := e.haveReleases(ctx, map[string]string{host: releases.Canary}); err != nil {
		return err
	}
	return e.settled(ctx, host)
}

// engineHangs stops dockerd for a while, before, during and after the stop of what serves: the host
// waits, and is whole once it answers.
func engineHangs(ctx context.Context, e *Env) error {
	return e.parts(ctx, show{"at the stop", func(ctx context.Context) error { return e.engineHung(ctx, "container") }},
		show{"in the drain before it", func(ctx context.Context) error { return e.engineHung(ctx, "drain") }},
		show{"in the health check after it", func(ctx context.Context) error { return e.engineHung(ctx, "health") }})
}

func (e *Env) engineHung(ctx context.Context, kind string) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	signal := func(name string) error {
		_, err := e.Lab.Exec(ctx, host, containers.Exec{Argv: []string{"pkill", "-" + name, "-x", "dockerd"}})
		return err
	}
	hang := func() error {
		if err := signal("STOP"); err != nil {
			return err
		}
		return errors.Join(sleep.For(ctx, 15*time.Second), signal("CONT"))
	}
	defer func() { _ = signal("CONT") }() // also where the update failed
	code, said, err := e.updating(ctx, host, releases.Canary, func(one saidEvent) bool { return one.Host == host && string(one.StepKind) == kind }, hang, "--soak", e.soak())
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("an engine that hung for a moment ended the update with %d: %s", code, said)
	}
	if err := e.haveReleases(ctx, map[string]string{host: releases.Canary}); err != nil {
		return err
	}
	return e.settled(ctx, host)
}

// siteChecks has a site with checks and hooks of its own: a required check takes the host back, a
// wanted one is told, and a hook that hangs is ended and told.
func siteChecks(ctx context.Context, e *Env) error {
	return e.parts(ctx,
		show{"a required check that fails", func(ctx context.Context) error {
			return e.ownCheck(ctx, 4, releases.Stable, "rooms are missing", "checks: [{ name: rooms, program: /etc/valt-own/rooms, host: %s, required: true, within: 3s }]\n")
		}},
		show{"a wanted check and a hook that hangs", func(ctx context.Context) error {
			return e.ownCheck(ctx, 0, releases.Canary, "wanted and not required", "checks: [{ name: rooms, program: /etc/valt-own/rooms, host: %s, within: 3s }]\n"+
				"hooks: { before_drain: /etc/valt-own/hangs, after_admit: /etc/valt-own/notes, within: 3s }\n")
		}})
}

func (e *Env) ownCheck(ctx context.Context, code int, release, words, more string) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	own := map[string]string{"rooms": "echo rooms are missing >&2; exit 1", "hangs": "exec sleep 1000", "notes": "echo ended >> /run/valt-own"}
	for name, text := range own {
		script := "mkdir -p /etc/valt-own && printf '#!/bin/sh\\n%s\\n' \"$1\" > /etc/valt-own/" + name + " && chmod 755 /etc/valt-own/" + name
		if _, err := e.Lab.Output(ctx, host, "sh", "-c", script, "own", text); err != nil {
			return err
		}
	}
	if strings.Contains(more, "%s") {
		more = fmt.Sprintf(more, host)
	}
	site, err := e.siteWith(more)
	if err != nil {
		return err
	}
	result, err := e.Expect(ctx, code, e.quick("update", "--to", releases.Canary, "--host", host, "--site", site)...)
	if err != nil {
		return err
	}
	if !strings.Contains(result.Stdout+result.Stderr, words) {
		return fmt.Errorf("it does not tell of %q: %s%s", words, result.Stdout, result.Stderr)
	}
	if strings.Contains(more, "hooks") {
		if !strings.Contains(result.Stdout+result.Stderr, "/etc/valt-own/hangs: it was not over within 3s") {
			return fmt.Errorf("it does not tell of the hook that hung: %s%s", result.Stdout, result.Stderr)
		}
		if out, err := e.Lab.Output(ctx, host, "cat", "/run/valt-own"); err != nil || strings.TrimSpace(out) != "ended" {
			return fmt.Errorf("the hook after the drain ran %q: %w", out, err)
		}
	}
	if err := e.haveReleases(ctx, map[string]string{host: release}); err != nil {
		return err
	}
	return e.settled(ctx, host)
}
