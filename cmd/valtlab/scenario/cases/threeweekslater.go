package cases

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/repos/sleep"
)

// rebooted reboots the host that runs the schedule while a media server is at work. Its own
// timer goes on with the rollout, by the real clock and with nobody there.
func (w *weeks) rebooted(ctx context.Context) error {
	if err := w.setClock(ctx, w.clock(w.day(21), 2, 50)); err != nil {
		return err
	}
	before, err := w.Lab.Output(ctx, scheduleHome, "date", "+%s.%N")
	if err != nil {
		return err
	}
	if _, err := w.Lab.Output(ctx, scheduleHome, "systemctl", "start", "--no-block", scheduleUnit+".service"); err != nil {
		return err
	}
	if err := w.until(ctx, hostWithin, func() (bool, error) {
		said, err := w.Lab.Output(ctx, scheduleHome, "journalctl", "--no-pager", "--output=cat", "--since=@"+before, "--unit="+scheduleUnit)
		return strings.Contains(said, w.media[1].Name+"     transaction") && strings.Contains(said, w.media[1].Name+"     wave"), err
	}); err != nil {
		return fmt.Errorf("waiting for %s to be at work: %w", w.media[1].Name, err)
	}
	if err := w.Reboot(ctx, scheduleHome); err != nil {
		return err
	}
	start := w.Now()
	if err := w.until(ctx, hostWithin, func() (bool, error) {
		state, err := outputIfThere(ctx, w.Lab, scheduleHome, "cat", path.Dir(path.Dir(scheduleCopy))+"/schedule.json")
		return strings.Contains(state, `"outcome": "the site has `+releases.Canary), err
	}); err != nil {
		return fmt.Errorf("waiting for the rollout to be gone on with: %w", err)
	}
	w.Measure("gone on with after the boot", "it was over %.0f s after it, with nobody there", w.Now().Sub(start).Seconds())
	if err := w.noTimer(ctx); err != nil {
		return err
	}
	if err := w.expectRollout(ctx, "the site has "+releases.Canary); err != nil {
		return err
	}
	want := map[string]string{scheduleHome: releases.Canary}
	for _, m := range w.media {
		want[m.Name] = releases.Canary
	}
	return errors.Join(w.haveReleases(ctx, want), w.serves(ctx), w.noneLost(ctx, w.media))
}

// until asks every second until it is so.
func (w *weeks) until(ctx context.Context, within time.Duration, so func() (bool, error)) error {
	start := w.Now()
	for {
		yes, err := so()
		if err == nil && yes {
			return nil
		}
		if w.Now().Sub(start) > within {
			return fmt.Errorf("not within %s (%w)", within, err)
		}
		if err := sleep.For(ctx, time.Second); err != nil {
			return err
		}
	}
}

// bad offers a release that is ill, in the week in which the clock goes back.
func (w *weeks) bad(ctx context.Context) error {
	if err := (&releases.Vendor{}).Publish(ctx, w.Lab, releases.Options{CanaryIs: releases.Unwell}); err != nil {
		return err
	}
	mark := path.Join(recordingsFolder, releases.UnwellMark)
	if _, err := w.Lab.Output(ctx, w.media[0].Name, "touch", mark); err != nil {
		return err
	}
	defer func() {
		_, _ = outputIfThere(context.WithoutCancel(ctx), w.Lab, w.media[0].Name, "rm", "-f", mark)
	}()
	// Two hours before three o'clock it is one o'clock, for the second time.
	again := time.Date(w.autumn.Year(), w.autumn.Month(), w.autumn.Day(), 3, 0, 0, 0, w.zone).Add(-90 * time.Minute).Format(time.RFC3339)
	w.expect(missedNotice) // of the summer's last Sunday
	if err := w.sees(ctx, again, "missed:", "look-ahead: the window opens in 1 night"); err != nil {
		return err
	}
	// That look was ahead, too, for the night before: the release that is coming was told then.
	w.expect("release " + releases.Unwell + " is coming")
	if err := w.sees(ctx, w.clock(w.autumn, 2, 50), "update: the maintenance window is open until", w.media[0].Name+"     rolled-back", "told:"); err != nil {
		return err
	}
	if err := w.expectRollout(ctx, "the rollout to "+releases.Unwell+" was halted"); err != nil {
		return err
	}
	if err := w.haveReleases(ctx, map[string]string{w.media[0].Name: releases.Canary, w.media[1].Name: releases.Canary, scheduleHome: releases.Canary}); err != nil {
		return err
	}
	return w.sees(ctx, w.clock(w.autumn.AddDate(0, 0, 7), 2, 50), "nothing: the rollout to "+releases.Unwell+" halted before")
}
