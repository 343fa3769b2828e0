package cases

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/repos/problem"
)

// tokens spoils what servers remember of the site's runs in every way that its files can be, and gets
// the site back with the one command; and takes the key of unattended runs from a thief.
func tokens(ctx context.Context, e *Env) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	media, err := e.mediaHosts()
	if err != nil {
		return err
	}
	return e.parts(ctx,
		show{"each bad state, and the way out", func(ctx context.Context) error { return e.badTokens(ctx, media) }},
		show{"a paused run whose lock was broken", func(ctx context.Context) error { return e.brokenRun(ctx, media[0].Name) }},
		show{"the key in a thief's hand", func(ctx context.Context) error { return e.stolenKey(ctx, media) }})
}

const (
	tokenFile  = "/var/lib/valtctl/fence.json"
	lockFile   = "/var/lib/valtctl/lease.json"
	lockedFile = "/var/lib/valtctl/.lease-guard"
	wayOut     = "valtctl lock break --reason"
)

// badToken is something that has become of a file on a host.
type badToken struct{ name, host, file, script string }

func badTokens(media string) []badToken {
	write := func(text string) string { return `rm -rf "$1"; printf '%s' '` + text + `' > "$1"` }
	return []badToken{
		{"the fence of a media server is at the end of numbers", media, tokenFile, write(`{"highest":9007199254740991}`)},
		{"it is beyond them", media, tokenFile, write(`{"highest":9223372036854775807}`)},
		{"it is negative", media, tokenFile, write(`{"highest":-1}`)},
		{"it is far ahead of the others", media, tokenFile, write(`{"highest":1000000}`)},
		{"it is torn", media, tokenFile, write(`{"hig`)},
		{"it is empty", media, tokenFile, `: > "$1"`},
		{"it is a folder", media, tokenFile, `rm -rf "$1"; mkdir -p "$1/x"`},
		{"it is a pipe", media, tokenFile, `rm -rf "$1"; mkfifo "$1"`},
		{"it is a link to nothing", media, tokenFile, `rm -rf "$1"; ln -s nothing "$1"`},
		{"its guard is a folder", media, lockedFile, `rm -rf "$1"; mkdir "$1"`},
		{"the application server's fence is at the end of numbers", scheduleHome, tokenFile, write(`{"highest":9007199254740991}`)},
		{"the lease is torn", scheduleHome, lockFile, write(`{"who":"pat`)},
		{"the lease is at the end of numbers", scheduleHome, lockFile, write(`{"token":9007199254740991}`)},
		{"the lease is a folder", scheduleHome, lockFile, `rm -rf "$1"; mkdir -p "$1/x"`},
	}
}

func (e *Env) badTokens(ctx context.Context, media []lab.Host) error {
	all := badTokens(media[e.Random.IntN(len(media))].Name)
	if e.Sample {
		n := e.Random.IntN(len(all))
		all = all[n : n+1]
	}
	for _, bad := range all {
		if err := e.outOf(ctx, bad, media[0].Name); err != nil {
			return fmt.Errorf("%s: %w", bad.name, err)
		}
	}
	return nil
}

// outOf spoils a file, has a run say what it says of that, and gets the site back.
func (e *Env) outOf(ctx context.Context, bad badToken, changed string) error {
	if _, err := e.Lab.Output(ctx, bad.host, "sh", "-c", bad.script, "spoil", bad.file); err != nil {
		return err
	}
	if err := e.differs(ctx, changed); err != nil {
		return err
	}
	result, err := e.Run(ctx, "install", "--yes")
	if err != nil {
		return err
	}
	if result.Code == 0 || !strings.Contains(result.Stderr, wayOut) {
		return fmt.Errorf("install ended with %d and names no way out: %s", result.Code, result.Stderr)
	}
	e.Measure(bad.name, "exit %d: %s", result.Code, beforeHint(result.Stderr))
	if _, err := e.Expect(ctx, 0, "lock", "break", "--reason", bad.name, "--yes"); err != nil {
		return err
	}
	_, err = e.Expect(ctx, 0, "install", "--yes")
	return err
}

// differs has the next installation change a file of a host.
func (e *Env) differs(ctx context.Context, host string) error {
	_, err := e.Lab.Output(ctx, host, "sed", "-i", "$ a # changed", "/etc/valt/compose/media.yaml")
	return err
}

// beforeHint is what is told right before what to do about it.
func beforeHint(text string) string {
	said, _, _ := strings.Cut(text, "\nhint: ")
	return said[strings.LastIndexByte(said, '\n')+1:]
}

// brokenRun pauses a run that holds the lease for minutes yet, breaks the lock and wakes it.
func (e *Env) brokenRun(ctx context.Context, host string) error {
	// A scenario before may have killed its controllers, and left a lease that still lasts some seconds.
	if _, err := e.Expect(ctx, 0, "lock", "break", "--reason", "who held it was killed", "--yes"); err != nil {
		return err
	}
	if err := e.Lab.Reset(ctx, host); err != nil {
		return err
	}
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	u, err := e.launch(ctx, moment{host: host}, "install", "--yes", "--lease", "10m")
	if err != nil {
		return err
	}
	if err := u.await(ctx, moment{host: host}); err != nil {
		return err
	}
	if err := u.command.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pausing the run: %w", err)
	}
	other, err := e.elsewhere()
	if err != nil {
		return err
	}
	shown, err := other.Expect(ctx, 0, "lock", "show")
	if err != nil {
		return err
	}
	if err := says(shown.Stdout, "changes the site with run"); err != nil {
		return err
	}
	if _, err := other.Expect(ctx, 0, "lock", "break", "--reason", "the laptop was stolen", "--yes"); err != nil {
		return err
	}
	if _, err := other.Expect(ctx, 0, "resume", "--yes"); err != nil {
		return err
	}
	code, before, after, err := e.woken(ctx, u, hosts)
	if err != nil {
		return err
	}
	e.Measure("the paused run", "ended with %d", code)
	// A run that had nothing left to change but what it follows may end well: it changes nothing.
	if before != after || code != problem.Locked.ExitCode() && code != 0 {
		return fmt.Errorf("the run that woke up ended with %d and changed %s to %s: %s", code, before, after, u.stderr)
	}
	_, err = e.Expect(ctx, 0, "install", "--yes")
	return err
}

// stolenKey has a thief be connected with the key, and takes it from him: with the application
// server there, and without it.
func (e *Env) stolenKey(ctx context.Context, media []lab.Host) (err error) {
	if err := e.scheduled(ctx, "canary", everyNight); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.unscheduled(context.WithoutCancel(ctx))) }()
	for _, home := range []bool{true, false} {
		if err := e.rotated(ctx, media[e.Random.IntN(len(media))], home); err != nil {
			return fmt.Errorf("with the application server there (%t): %w", home, err)
		}
	}
	// The key that was revoked while the application server was away is not handed out again.
	key, err := e.Lab.Output(ctx, scheduleHome, "cat", "/var/lib/valtctl/schedule/id_ed25519.pub")
	if err != nil {
		return err
	}
	if err := e.scheduled(ctx, "canary", everyNight); err != nil {
		return err
	}
	if now, err := e.Lab.Output(ctx, scheduleHome, "cat", "/var/lib/valtctl/schedule/id_ed25519.pub"); err != nil || now == key {
		return fmt.Errorf("the revoked key is handed out again (%w)", err)
	}
	said, err := e.lookAt(ctx, "2026-11-29T02:50:00-06:00")
	if err == nil && strings.Contains(said, "could not begin") {
		err = fmt.Errorf("with its next key the schedule does nothing: %s", said)
	}
	return err
}

// rotated rotates while a thief is connected to a host.
func (e *Env) rotated(ctx context.Context, host lab.Host, home bool) error {
	thief, err := e.steal(ctx, host)
	if err != nil {
		return err
	}
	login, err := thief.login(ctx) // once let in, it asks for an agent whenever it likes
	if err != nil {
		return err
	}
	defer login.Close()
	c, err := thief.agent(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Facts(ctx, agent.FactsRequest{}); err != nil {
		return fmt.Errorf("the key is of no use before: %w", err)
	}
	rotate := func() error {
		_, err := e.Expect(ctx, 0, "schedule", "rotate", "--yes", "--site", scheduledFile)
		return err
	}
	if !home {
		rotate = func() error { return e.rotatedAlone(ctx) }
	}
	start := e.Now()
	if err := rotate(); err != nil {
		return err
	}
	e.Measure("the key rotated", "with the application server there: %t, %.1f s", home, e.Now().Sub(start).Seconds())
	if _, err := c.Facts(ctx, agent.FactsRequest{}); err == nil {
		return errors.New("who was connected with the former key is answered still")
	}
	if said, err := thief.command(login, "valtctl-restricted-agent"); err == nil || strings.Contains(said, "ready") {
		return fmt.Errorf("who was let in with the former key starts an agent still: %s", said)
	}
	if again, err := thief.login(ctx); err == nil {
		again.Close()
		return errors.New("the former key is let in still")
	}
	e.Measure("the former key", "refused: a call, an agent and a login")
	return nil
}

// rotatedAlone rotates while the controller does not reach the application server; the thief, who is
// there, reaches all.
func (e *Env) rotatedAlone(ctx context.Context) (err error) {
	away := fault.Packets{Host: scheduleHome, Verdict: fault.Drop, From: netip.PrefixFrom(e.Lab.Controller(), 32)}
	defer func() { err = errors.Join(err, away.End(context.WithoutCancel(ctx), e.Lab)) }()
	if err := away.Begin(ctx, e.Lab); err != nil {
		return err
	}
	result, err := e.Run(ctx, "schedule", "rotate", "--yes", "--site", scheduledFile)
	if err != nil {
		return err
	}
	if result.Code != problem.Check.ExitCode() || !strings.Contains(result.Stdout, "its timer and its key are still there") {
		return fmt.Errorf("it ends with %d: %s%s", result.Code, result.Stdout, result.Stderr)
	}
	return nil
}
