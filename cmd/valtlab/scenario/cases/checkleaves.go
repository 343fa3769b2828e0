package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/repos/sleep"
)

const leavesSite = "check-leaves-nothing"

// How often the controller is killed in each part of a check, and how long what it began
// may take to be gone.
const (
	leavesKills  = 4
	leavesWithin = 2 * time.Minute // seconds, unless the machine is busy
)

// checkLeavesNothing compares bare hosts before and after checks, of which most are
// killed.
func checkLeavesNothing(ctx context.Context, e *Env) error {
	hosts := []string{"app1", "media1"}
	if err := e.Timed("bare hosts", func() error { return e.Lab.Reset(ctx, hosts...) }); err != nil {
		return err
	}
	// A camera that is not there makes the trying last, so that it can be killed.
	nobody, err := e.Lab.Free(ctx, 1)
	if err != nil {
		return err
	}
	site, err := e.deriveSite(leavesSite, func(site map[string]any) {
		onlyHosts(site, hosts...)
		withHost(site, "media1", map[string]any{"cameras": []any{nobody[0].String()}})
	})
	if err != nil {
		return err
	}
	before, err := e.traces(ctx, hosts)
	if err != nil {
		return err
	}
	listens, err := e.leaveOnce(ctx, site, hosts, before)
	if err != nil {
		return err
	}
	kills := leavesKills * e.Count
	if e.Sample {
		kills = 1
	}
	for range kills {
		for _, part := range partsOfCheck(listens) {
			if err := e.leaveKilled(ctx, site, hosts, before, part); err != nil {
				return fmt.Errorf("killed while %s: %w", part.name, err)
			}
		}
	}
	return nil
}

// part is a part of a check that can be struck.
type part struct {
	name     string
	listened bool          // only once it has said that it listens
	within   time.Duration // and then within so much
}

// partsOfCheck are all, where it takes so long until it listens.
func partsOfCheck(listens time.Duration) []part {
	return []part{
		{"connecting and uploading", false, listens},
		{"beginning to listen", true, 200 * time.Millisecond},
		{"trying flows", true, 2500 * time.Millisecond},
	}
}

// heard is where a running check writes what it does; the channel is closed when it has
// said that it listens.
type heard struct {
	said    []byte
	listens chan struct{}
}

func (h *heard) Write(p []byte) (int, error) {
	h.said = append(h.said, p...)
	if h.listens != nil && bytes.Contains(h.said, []byte("listens where nothing does")) {
		close(h.listens)
		h.listens = nil
	}
	return len(p), nil
}

// leaveOnce lets a check of the network end by itself; then nothing may be left. It
// returns how long it takes until the hosts listen.
func (e *Env) leaveOnce(ctx context.Context, site string, hosts []string, before map[string]fingerprint) (time.Duration, error) {
	r, result, err := e.check(ctx, "network", site)
	if err != nil {
		return 0, err
	}
	e.Measure("a whole check", "%.1f s, of which %.1f s connecting", result.Took.Seconds(), r.Result.Connecting.Seconds())
	return r.Result.Connecting, e.Timed("gone after it", func() error { return e.awaitGone(ctx, hosts, before) })
}

// leaveKilled kills the controller in a part of its work, so that it can say nothing to
// anybody.
func (e *Env) leaveKilled(ctx context.Context, site string, hosts []string, before map[string]fingerprint, p part) error {
	command := e.Command(ctx, "check", "network", "--site", site, "-o", "json")
	listens, ended := make(chan struct{}), make(chan error, 1)
	command.Stderr = &heard{listens: listens}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", e.Valtctl, err)
	}
	go func() { ended <- command.Wait() }()
	if p.listened {
		select {
		case <-listens:
		case err := <-ended:
			return fmt.Errorf("it ended before it listened: %w", err)
		}
	}
	after := time.Duration(e.Random.Int64N(int64(p.within)))
	err := sleep.For(ctx, after)
	during, seenErr := e.doing(ctx, hosts[len(hosts)-1])
	_ = command.Process.Kill() // it may have ended already, which is as good
	<-ended
	if err = errors.Join(err, seenErr); err != nil {
		return err
	}
	start := e.Now()
	err = e.awaitGone(ctx, hosts, before)
	e.Measure("killed while "+p.name, "after %.2f s, when the host had %s; nothing is left when looked at %.1f s later", after.Seconds(), during, e.Now().Sub(start).Seconds())
	return err
}

// doing is how far a check has come on a host.
func (e *Env) doing(ctx context.Context, host string) (string, error) {
	out, err := e.Lab.Output(ctx, host, "sh", "-c", "ps -e -o args=; ss --no-header --listening --numeric --tcp --processes")
	switch {
	case err != nil:
		return "", err
	case strings.Contains(out, `(("valtctl",`):
		return "an agent that listens", nil
	case strings.Contains(out, "valtctl agent"):
		return "an agent", nil
	case strings.Contains(out, "valtctl"):
		return "a part of an agent", nil
	}
	return "nothing yet", nil
}

// awaitGone wants the hosts to be as before before long.
func (e *Env) awaitGone(ctx context.Context, hosts []string, before map[string]fingerprint) error {
	end := e.Now().Add(leavesWithin)
	for {
		now, err := e.traces(ctx, hosts)
		if err != nil {
			return err
		}
		if err = same(before, now); err == nil || e.Now().After(end) {
			return err
		}
		if err := sleep.For(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
}

// traceLooks are what a check could leave behind: files, whoever listens, processes. Of
// files it is their place, kind and size, and for those that are not a session's own also
// when they were written.
var traceLooks = [][]string{
	{"find", "/", "/run", "/tmp", "/srv/valt", "-xdev",
		"(", "-path", "/proc", "-o", "-path", "/sys", "-o", "-path", "/dev", "-o", "-path", "/var/log", "-o", "-path", "/run/log",
		"-o", "-path", "/run/systemd", "-o", "-path", "/run/user", "-o", "-path", "/run/udev", "-o", "-path", "/run/sudo", ")", "-prune",
		"-o", "-type", "f", "-printf", `%M %u:%g %s %TY-%Tm-%TdT%TT %p\n`, "-o", "-printf", `%M %u:%g %p %l\n`},
	{"ss", "--no-header", "--listening", "--numeric", "--tcp", "--udp", "--processes"},
	{"ps", "-e", "-o", "user=,args="},
}

// traces describe the hosts by what a check could leave.
func (e *Env) traces(ctx context.Context, hosts []string) (map[string]fingerprint, error) {
	all := map[string]fingerprint{}
	for _, host := range hosts {
		var lines fingerprint
		for _, argv := range traceLooks {
			out, err := e.Lab.Output(ctx, host, argv...)
			if err != nil {
				return nil, err
			}
			for line := range strings.Lines(out) {
				if line = strings.Join(strings.Fields(line), " "); !sessions(line) {
					lines = append(lines, line)
				}
			}
		}
		slices.Sort(lines)
		all[host] = lines
	}
	return all, nil
}

// sessions tells what every login by SSH leaves for a while or for good, and what the
// looking itself does.
func sessions(line string) bool {
	for _, own := range []string{
		"/run/utmp", "/run/motd.dynamic", "/var/lib/systemd/timers", "/var/lib/systemd/timesync", "/run/dbus", "/run/sshd",
		"ps -e -o", "sshd: ", "(sd-pam)", "systemd --user", "/lib/systemd/systemd-", "dbus-daemon --session",
	} {
		if strings.Contains(line, own) {
			return true
		}
	}
	return false
}
