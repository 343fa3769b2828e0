package cases

import (
	"context"
	"errors"
	"fmt"

	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// illAfterBoot makes the release Unwell ill whenever a host has booted, and at no other time
// (tmpfiles.d(5): f! is for boots alone).
const illAfterBoot = "/etc/tmpfiles.d/valtlab-unwell.conf"

// failsAfterReboot has a release that is well until its host boots again: in the soak, and where
// the host was left alone. The host does not boot in circles, and is as it was before.
func failsAfterReboot(ctx context.Context, e *Env) error {
	return e.parts(ctx,
		show{"in the soak", func(ctx context.Context) error { return e.illOnceBooted(ctx, e.rebootInSoak) }},
		show{"left alone", func(ctx context.Context) error { return e.illOnceBooted(ctx, e.rebootAlone) }})
}

func (e *Env) illOnceBooted(ctx context.Context, rebooted func(ctx context.Context, host string) error) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	if err := e.Lab.Put(ctx, host, illAfterBoot, []byte("f! "+unwellMark+"\n")); err != nil {
		return err
	}
	defer func() { _, _ = e.Lab.Output(ctx, host, "rm", "-f", illAfterBoot, unwellMark) }() // also where it failed
	if err := rebooted(ctx, host); err != nil {
		return err
	}
	if _, err := e.Lab.Output(ctx, host, "test", "-e", unwellMark); err != nil {
		return fmt.Errorf("%s did not boot into an ill engine: %w", host, err)
	}
	return errors.Join(e.haveReleases(ctx, map[string]string{host: releases.Stable}), e.settled(ctx, host))
}

// rebootInSoak reboots the host while the rollout watches it.
func (e *Env) rebootInSoak(ctx context.Context, host string) error {
	code, said, err := e.updating(ctx, host, releases.Unwell, inSoak(host), func() error { return e.Reboot(ctx, host) }, "--soak", "30s")
	if err != nil {
		return err
	}
	if code != 4 {
		return fmt.Errorf("an engine that is ill after the boot ended the update with %d instead of 4: %s", code, said)
	}
	return nil
}

// rebootAlone reboots the host once it has switched, with nobody there any more.
func (e *Env) rebootAlone(ctx context.Context, host string) error {
	site, err := e.siteWith("updates: { confirm_within: 30s }\n")
	if err != nil {
		return err
	}
	if err := e.strikeUpdate(ctx, host, releases.Unwell, switched, []string{"--site", site}); err != nil {
		return err
	}
	before, err := e.Lab.Boot(ctx, host)
	if err != nil {
		return err
	}
	if err := e.Reboot(ctx, host); err != nil {
		return err
	}
	once, err := e.Lab.Boot(ctx, host)
	if err != nil {
		return err
	}
	if err := errors.Join(e.awaitBack(ctx, host), e.awaitOver(ctx, host), e.awaitLease(ctx)); err != nil {
		return err
	}
	if now, err := e.Lab.Boot(ctx, host); err != nil || now != once || once == before {
		return fmt.Errorf("%s booted at %s, and again at %s: %w", host, once, now, err)
	}
	_, err = e.Expect(ctx, 0, "abort", "--yes")
	return err
}
