package cases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/noticesink"
	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// weeks is a site that is left to itself for three weeks around the change of the clock in
// spring, and in the week of the change in autumn. Real hosts, the real service in its real
// sandbox; what time it is there, the scenario says.
type weeks struct {
	*Env
	media []lab.Host
	zone  *time.Location
	// spring and autumn are the Sundays on which the clock is changed next.
	spring, autumn time.Time
	told           []string // subjects of the notices that must have come, in order
	mails, hooks   int      // that came before the scenario was the clock
}

// threeWeeks leaves a site to itself and wants it to do, and to tell, what it should.
func threeWeeks(ctx context.Context, e *Env) (err error) {
	w := &weeks{Env: e}
	if err := w.begin(ctx); err != nil {
		return err
	}
	defer func() {
		ctx := context.WithoutCancel(ctx)
		err = errors.Join(err, (&releases.Vendor{}).Publish(ctx, e.Lab, releases.Options{}), e.noTimer(ctx), e.unscheduled(ctx), noticesink.Stop(ctx, e.Lab))
	}()
	parts := []struct {
		name string
		do   func(context.Context) error
		long bool
	}{
		{"a window was missed", w.missed, false},
		{"three nights before, all is well", w.announced, false},
		{"two nights before, a repository is blocked", w.blocked, false},
		{"one night before, it is not any more", w.unblocked, false},
		{"spring: the window is what is left of it, and closes during a drain", w.closing, true},
		{"a blackout", w.blackout, false},
		{"a reboot in the middle", w.rebooted, true},
		{"autumn: a bad release is halted", w.bad, true},
	}
	for _, p := range parts {
		if p.long && e.Sample {
			continue
		}
		if err := e.Timed(p.name, func() error { return p.do(ctx) }); err != nil {
			return err
		}
	}
	return w.delivered(ctx)
}

// begin brings the site to the release before, its office up, and has it look after itself.
func (w *weeks) begin(ctx context.Context) (err error) {
	if w.media, err = w.mediaHosts(); err != nil {
		return err
	}
	if len(w.media) < 2 {
		return fmt.Errorf("the lab has %d media hosts; it takes two", len(w.media))
	}
	if w.zone, err = time.LoadLocation("America/Chicago"); err != nil {
		return fmt.Errorf("reading the time zone: %w", err)
	}
	year := w.Now().Year() + 1
	w.spring, w.autumn = w.sunday(year, time.March, 2), w.sunday(year, time.November, 1)
	if err := w.at(ctx, releases.Stable); err != nil {
		return err
	}
	if err := w.Timed("the customer's mail and web server", func() error { return noticesink.Start(ctx, w.Lab) }); err != nil {
		return err
	}
	for name, secret := range map[string]string{"mail_password": noticesink.Password, "hook_token": noticesink.Token} {
		if err := os.WriteFile(w.Lab.Path(name), []byte(secret+"\n"), 0o600); err != nil {
			return fmt.Errorf("writing what the notices need: %w", err)
		}
	}
	blackout := w.day(14)
	if err := w.scheduled(ctx, "canary", fmt.Sprintf(`updates:
  timezone: America/Chicago
  windows: ["Sun 02:00-05:00"]
  blackouts: ["%s/%s"]
  canary: %s
  notify:
    mail: {server: %s, from: %s, to: [%s], username: %s, password_file: mail_password}
    webhook: {url: "%s", token_file: hook_token}
`, blackout.Format(time.DateOnly), blackout.AddDate(0, 0, 1).Format(time.DateOnly), w.media[0].Name,
		noticesink.MailName, noticesink.Sender, noticesink.Receiver, noticesink.User, noticesink.HookURL)); err != nil {
		return err
	}
	return w.forget(ctx)
}

// forget leaves out what the schedule did by the real clock before its timer was stopped.
func (w *weeks) forget(ctx context.Context) error {
	folder := path.Dir(path.Dir(scheduleCopy))
	if _, err := w.Lab.Output(ctx, scheduleHome, "rm", "-f", folder+"/schedule.json", folder+"/notices.json"); err != nil {
		return err
	}
	if err := w.until(ctx, hostWithin, func() (bool, error) { return noticesink.Delivered(ctx, w.Lab) }); err != nil {
		return fmt.Errorf("waiting for mail that was taken to be delivered: %w", err)
	}
	mails, err := noticesink.Mails(ctx, w.Lab)
	if err != nil {
		return err
	}
	hooks, err := noticesink.Hooks(ctx, w.Lab)
	w.mails, w.hooks = len(mails), len(hooks)
	return err
}

// sunday is the nth of a month.
func (w *weeks) sunday(year int, month time.Month, nth int) time.Time {
	first := time.Date(year, month, 1, 0, 0, 0, 0, w.zone)
	return first.AddDate(0, 0, (7-int(first.Weekday()))%7+7*(nth-1))
}

// day is so many days after the Sunday in spring.
func (w *weeks) day(n int) time.Time { return w.spring.AddDate(0, 0, n) }

// clock is a time of a day on the site's wall.
func (w *weeks) clock(day time.Time, hour, minute int) string {
	return time.Date(day.Year(), day.Month(), day.Day(), hour, minute, 0, 0, w.zone).Format(time.RFC3339)
}

// sees has the schedule look at the clock and wants it to say something.
func (w *weeks) sees(ctx context.Context, at string, parts ...string) error {
	said, err := w.lookAt(ctx, at)
	if err == nil {
		err = says(said, parts...)
	}
	if err != nil {
		return fmt.Errorf("at %s: %w", at, err)
	}
	return nil
}

// expect notes that a notice must come.
func (w *weeks) expect(subject string) { w.told = append(w.told, "VALT practice: "+subject) }

const missedNotice = "a maintenance window was missed"

func (w *weeks) missed(ctx context.Context) error {
	w.expect(missedNotice)
	if err := w.sees(ctx, w.clock(w.day(-6), 10, 0), "missed: the window that opened on", "nothing: the next window opens on "+w.day(0).Format("Mon 2 January 2006")); err != nil {
		return err
	}
	return w.sees(ctx, w.clock(w.day(-6), 10, 5), "nothing: the next window opens") // it is told once
}

func (w *weeks) announced(ctx context.Context) error {
	w.expect("release " + releases.Canary + " is coming")
	// The window of the Sunday in spring opens at three: there is no two o'clock.
	if err := w.sees(ctx, w.clock(w.day(-3), 2, 55), "nothing: the next window opens"); err != nil {
		return err
	}
	if err := w.sees(ctx, w.clock(w.day(-3), 3, 5), "look-ahead: the window opens in 3 nights"); err != nil {
		return err
	}
	mails, err := noticesink.Mails(ctx, w.Lab)
	if err != nil || len(mails) == 0 {
		return fmt.Errorf("no mail came (%w)", err)
	}
	if err := says(mails[len(mails)-1].Text, `VALT itself may mail "stream offline" about the cameras of `+w.media[0].Name); err != nil {
		return fmt.Errorf("the notice of the release that is coming: %w", err)
	}
	return w.nothingServedChanged(ctx)
}

// nothingServedChanged wants all hosts to be what they were.
func (w *weeks) nothingServedChanged(ctx context.Context) error {
	want := map[string]string{scheduleHome: releases.Stable}
	for _, m := range w.media {
		want[m.Name] = releases.Stable
	}
	return errors.Join(w.haveReleases(ctx, want), w.serves(ctx))
}

func (w *weeks) blocked(ctx context.Context) (err error) {
	wall := fault.OnTheWay{From: w.media[1].Address, To: w.Lab.World(), Port: 443}
	if err := wall.Begin(ctx, w.Lab); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, wall.End(context.WithoutCancel(ctx), w.Lab)) }()
	w.expect("the next update will not work as things are")
	if err := w.sees(ctx, w.clock(w.day(-2), 3, 5), "look-ahead: the window opens in 2 nights", "told:"); err != nil {
		return err
	}
	mails, err := noticesink.Mails(ctx, w.Lab)
	if err != nil || len(mails) == 0 {
		return fmt.Errorf("no mail came (%w)", err)
	}
	last := mails[len(mails)-1]
	rule := fmt.Sprintf("ask for tcp/443 from %s to docker.ipivs.com in the network's firewall", w.media[1].Address)
	if err := says(last.Text, rule, "valtctl network --request --row"); err != nil {
		return fmt.Errorf("the mail: %w", err)
	}
	w.Measure("named two nights before", "%s", rule)
	return says(last.Report, "report.json", `"verdict": "filtered"`)
}

func (w *weeks) unblocked(ctx context.Context) error {
	w.expect("what would have stopped the next update works again")
	if err := w.sees(ctx, w.clock(w.day(-1), 3, 5), "look-ahead: the window opens in 1 night", "told:"); err != nil {
		return err
	}
	return w.nothingServedChanged(ctx)
}

// closing begins so late that the window closes while the second media server's recording
// is waited for.
func (w *weeks) closing(ctx context.Context) error {
	if err := w.sees(ctx, w.clock(w.day(0), 1, 59), "nothing: the next window opens on "+w.day(0).Format("Mon 2 January 2006")+", 03:00 CDT"); err != nil {
		return err
	}
	needs, err := w.longest(ctx)
	if err != nil {
		return err
	}
	d, err := w.desk(ctx, scheduleHome, w.media[1])
	if err != nil {
		return err
	}
	streams, err := d.streams(ctx)
	if err != nil {
		return err
	}
	if err := d.record(ctx, streams[0]); err != nil {
		return err
	}
	closes := time.Date(w.spring.Year(), w.spring.Month(), w.spring.Day(), 5, 0, 0, 0, w.zone)
	const margin = 75 * time.Second
	start := w.Now()
	if err := w.sees(ctx, closes.Add(-needs-margin).Format(time.RFC3339), "update: the maintenance window is open until", w.media[0].Name+"     updated",
		w.media[1].Name+"     skipped", "told:"); err != nil {
		return err
	}
	took := w.Now().Sub(start)
	w.Measure("a window that closes", "an update and its way back were reckoned with %s; it was over %s before the window closed", needs, (needs + margin - took).Round(time.Second))
	if took > needs+margin {
		return fmt.Errorf("it went on for %s after the window had closed", took-needs-margin)
	}
	if err := errors.Join(w.haveReleases(ctx, map[string]string{w.media[0].Name: releases.Canary, w.media[1].Name: releases.Stable}),
		w.gateOpen(ctx, w.media[1].Name), d.stop(ctx, streams[0]), w.noneLost(ctx, w.media)); err != nil {
		return err
	}
	return w.expectRollout(ctx, "is not complete")
}

// expectRollout notes the notice that came of a rollout, whose subject counts hosts.
func (w *weeks) expectRollout(ctx context.Context, part string) error {
	mails, err := noticesink.Mails(ctx, w.Lab)
	if err != nil || len(mails) == 0 {
		return fmt.Errorf("no mail came (%w)", err)
	}
	last := mails[len(mails)-1]
	w.told = append(w.told, last.Subject)
	return errors.Join(says(last.Subject, part), says(last.Report, "report.json", `"plan_digest"`))
}

// longest is how long the longest host's update and way back are reckoned with.
func (w *weeks) longest(ctx context.Context) (time.Duration, error) {
	result, err := w.onHome(ctx, "update", "--dry-run", "--soak", "3s", "-o", "json")
	if err != nil || result.Code != 0 {
		return 0, fmt.Errorf("asking for how long it takes: exit %d: %s (%w)", result.Code, result.Stderr, err)
	}
	var reply struct {
		Result struct {
			Preview struct {
				Hosts []struct {
					Expected time.Duration `json:"expected_ns"`
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(result.Stdout), &reply); err != nil {
		return 0, fmt.Errorf("reading how long it takes: %w", err)
	}
	var longest time.Duration
	for _, h := range reply.Result.Preview.Hosts {
		longest = max(longest, 2*h.Expected) // no way back was measured: it is taken to be as long
	}
	return longest, nil
}

func (w *weeks) blackout(ctx context.Context) error {
	w.expect(missedNotice) // of the Sunday before, on which nothing looked
	return w.sees(ctx, w.clock(w.day(14), 3, 30), "missed:", "nothing: the next window opens on "+w.day(21).Format("Mon 2 January 2006")+", 02:00 CDT")
}

// delivered wants every notice to have come, in order, by mail and to the webhook.
func (w *weeks) delivered(ctx context.Context) error {
	mails, err := noticesink.Mails(ctx, w.Lab)
	if err != nil {
		return err
	}
	hooks, err := noticesink.Hooks(ctx, w.Lab)
	if err != nil {
		return err
	}
	subjects := func(all []noticesink.Received) []string {
		var s []string
		for _, r := range all {
			s = append(s, r.Subject)
		}
		return s
	}
	if got := subjects(hooks[w.hooks:]); !slices.Equal(got, w.told) {
		return fmt.Errorf("the webhook got %q instead of %q", got, w.told)
	}
	if got := subjects(mails[w.mails:]); !slices.Equal(got, w.told) {
		return fmt.Errorf("the mail server got %q instead of %q", got, w.told)
	}
	w.Measure("told", "%d notices, each by mail (Exim) and webhook (nginx)", len(w.told))
	return nil
}
