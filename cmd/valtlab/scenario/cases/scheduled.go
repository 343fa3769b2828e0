package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/scenario"
	"ipivs.com/valtctl/installer/facts"
)

// What the scenarios of unattended updates share: a site that keeps itself current, and its
// timer's service at a time of the scenario's own.

const (
	scheduledFile = "scheduled.yaml"
	scheduleUnit  = "valtctl-schedule"
	scheduleHome  = "app1"
	// scheduleCopy is where the site's copy is on the host that runs it.
	scheduleCopy = "/var/lib/valtctl/site/practice/schedule/site.yaml"
)

// scheduled writes the lab's site file with updates of its own and has the site keep itself
// current by it. The timer is stopped: the scenario is the clock.
func (e *Env) scheduled(ctx context.Context, channel, updates string) error {
	text, err := os.ReadFile(e.Lab.Path("site.yaml"))
	if err != nil {
		return fmt.Errorf("reading the lab's site file: %w", err)
	}
	text = bytes.Replace(text, []byte("channel: stable"), []byte("channel: "+channel), 1)
	if err := os.WriteFile(e.Lab.Path(scheduledFile), append(text, updates...), 0o600); err != nil {
		return fmt.Errorf("writing the site file of the schedule: %w", err)
	}
	if _, err := e.Expect(ctx, 0, "schedule", "enable", "--yes", "--site", scheduledFile); err != nil {
		return err
	}
	return e.noTimer(ctx)
}

// noTimer stops the timer and waits for the service that it may have started.
func (e *Env) noTimer(ctx context.Context) error {
	if _, err := e.Lab.Output(ctx, scheduleHome, "systemctl", "stop", scheduleUnit+".timer"); err != nil {
		return err
	}
	_, err := outputIfThere(ctx, e.Lab, scheduleHome, "systemctl", "stop", scheduleUnit+".service")
	return err
}

// unscheduled ends it.
func (e *Env) unscheduled(ctx context.Context) error {
	_, err := e.Expect(ctx, 0, "schedule", "disable", "--yes", "--site", scheduledFile)
	_, dropIn := outputIfThere(ctx, e.Lab, scheduleHome, "rm", "-rf", "/run/systemd/system/"+scheduleUnit+".service.d")
	return errors.Join(err, dropIn, e.forgetKeyUses(ctx))
}

// forgetKeyUses takes the hosts' records of what the key did, which outlive it: a later scenario asks whether all is
// well, and what a thief of this one tried is not.
func (e *Env) forgetKeyUses(ctx context.Context) error {
	hosts, err := e.siteHosts()
	for _, h := range hosts {
		_, gone := e.Lab.Output(ctx, h, "rm", "-rf", facts.KeyUses)
		err = errors.Join(err, gone)
	}
	return err
}

// programOf is valtctl on the hosts, as the unit names it.
func (e *Env) programOf(ctx context.Context) (string, error) {
	unit, err := e.Lab.Output(ctx, scheduleHome, "cat", "/etc/systemd/system/"+scheduleUnit+".service")
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^ExecStart=(\S+) schedule run`).FindStringSubmatch(unit)
	if found == nil {
		return "", fmt.Errorf("the schedule's service starts nothing that is known: %s", unit)
	}
	return found[1], nil
}

// lookAt has the schedule's own service, in its own sandbox, look at the clock at a time of
// the scenario's. It returns what the service said; how the service ended tells nothing more.
func (e *Env) lookAt(ctx context.Context, at string) (string, error) {
	if err := e.setClock(ctx, at); err != nil {
		return "", err
	}
	before, err := e.Lab.Output(ctx, scheduleHome, "date", "+%s.%N")
	if err != nil {
		return "", err
	}
	_, _ = outputIfThere(ctx, e.Lab, scheduleHome, "systemctl", "start", scheduleUnit+".service")
	return e.Lab.Output(ctx, scheduleHome, "journalctl", "--no-pager", "--output=cat", "--unit="+scheduleUnit, "--since=@"+before)
}

// judgesAt has every other host judge what the schedule's key asks for as if it were a time of the
// scenario's now. Only root there can say so: the key starts what sudoers and sshd name, with these
// words alone.
func (e *Env) judgesAt(ctx context.Context, at string) error {
	when, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return fmt.Errorf("reading the scenario's time: %w", err)
	}
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	ahead := fmt.Sprintf("%ds", int64(when.Sub(e.Now())/time.Second))
	for _, h := range hosts {
		if h == scheduleHome {
			continue
		}
		if _, err := e.Lab.Output(ctx, h, "sed", "-i", "-E", `s/agent --restricted( --ahead [^ "]+)?/agent --restricted --ahead `+ahead+`/`,
			"/etc/sudoers.d/"+scheduleUnit, "/home/valt/.ssh/authorized_keys"); err != nil {
			return err
		}
	}
	return nil
}

// setClock has the service judge windows by a time, from its next start on, and the other hosts
// what it asks of them.
func (e *Env) setClock(ctx context.Context, at string) error {
	if err := e.judgesAt(ctx, at); err != nil {
		return err
	}
	program, err := e.programOf(ctx)
	if err != nil {
		return err
	}
	dropIn := "[Service]\nType=oneshot\nExecStart=\nExecStart=" + strings.Join([]string{program, "schedule", "run",
		"--site", scheduleCopy, "--soak", "3s", "--at", at}, " ") + "\n"
	path := "/run/systemd/system/" + scheduleUnit + ".service.d/at.conf"
	if _, err := e.Lab.Output(ctx, scheduleHome, "mkdir", "-p", "/run/systemd/system/"+scheduleUnit+".service.d"); err != nil {
		return err
	}
	var said strings.Builder
	code, err := e.Lab.Exec(ctx, scheduleHome, containers.Exec{Argv: []string{"tee", path}, Stdin: strings.NewReader(dropIn), Stderr: &said})
	if err != nil || code != 0 {
		return errors.Join(err, fmt.Errorf("setting the schedule's clock: %s", said.String()))
	}
	_, err = e.Lab.Output(ctx, scheduleHome, "systemctl", "daemon-reload")
	return err
}

// says wants text to hold every part.
func says(text string, parts ...string) error {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return fmt.Errorf("it does not say %q: %.1500s", part, text)
		}
	}
	return nil
}

// onHome runs the product on the host that has the key, as its root, with the copy of the
// site that the schedule works from.
func (e *Env) onHome(ctx context.Context, args ...string) (scenario.Result, error) {
	program, err := e.programOf(ctx)
	if err != nil {
		return scenario.Result{}, err
	}
	var out, said strings.Builder
	code, err := e.Lab.Exec(ctx, scheduleHome, containers.Exec{Argv: append([]string{program}, append(args, "--site", scheduleCopy)...), Stdout: &out, Stderr: &said})
	return scenario.Result{Code: code, Stdout: out.String(), Stderr: said.String()}, err
}
