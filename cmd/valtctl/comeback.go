package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/durable"
)

// The unit that goes on with a rollout is there while one runs from one of the site's own
// hosts, which the rollout may reboot, and at no other time.
const (
	comebackUnit   = "valtctl-rollout.service"
	comebackFolder = "/etc/systemd/system"
)

// comeback has this machine's systemd go on with a rollout after a reboot.
type comeback struct {
	argv  []string // this program's resume
	state string   // XDG_STATE_HOME, where it is set
	// folder holds units, and systemctl runs one of its commands.
	folder    string
	systemctl func(ctx context.Context, args ...string) (string, error)
}

// comeback is nil where this machine is none of the site's hosts, or has no systemd.
func (a *app) comeback(s *site.Site) (*comeback, error) {
	own := ownAddresses()
	here := slices.ContainsFunc(s.Hosts, func(h site.Host) bool { return slices.Contains(own, string(h.Address)) })
	if _, err := os.Stat("/run/systemd/system"); !here || err != nil || os.Geteuid() != 0 { // sd_booted(3)
		return nil, nil
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	file, err := filepath.Abs(a.flags.site)
	if err != nil {
		return nil, fmt.Errorf("finding the site file: %w", err)
	}
	return &comeback{argv: []string{program, "resume", "--site", file, "--yes"}, state: os.Getenv("XDG_STATE_HOME"),
		folder: comebackFolder, systemctl: systemctl}, nil
}

func (c *comeback) armed() bool {
	_, err := os.Lstat(filepath.Join(c.folder, comebackUnit))
	return err == nil
}

// text is the unit. A lease that the rollout held elsewhere may first have to run out, so
// it tries again for an hour.
func (c *comeback) text() string {
	words := make([]string, len(c.argv))
	for i, word := range c.argv {
		words[i] = unitWord(word)
	}
	state := ""
	if c.state != "" {
		state = "\nEnvironment=" + unitWord("XDG_STATE_HOME="+c.state)
	}
	return fmt.Sprintf(`# Written by valtctl while a rollout runs from this host, and removed with its end.
[Unit]
Description=Go on with the rollout that this host's reboot interrupted
After=network-online.target docker.service valtctl-resume.service
Wants=network-online.target
StartLimitIntervalSec=2h
StartLimitBurst=60

[Service]
Type=exec
ExecStart=%s%s
Restart=on-failure
RestartSec=1min
RestartPreventExitStatus=2 3 4 6

[Install]
WantedBy=multi-user.target
`, strings.Join(words, " "), state)
}

// unitWord quotes a word of a command line (systemd.service(5), "COMMAND LINES").
func unitWord(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$", "\n", `\n`).Replace(word) + `"`
}

// Arm writes the unit and enables it for the next boot; it starts nothing now.
func (c *comeback) Arm(ctx context.Context) error {
	full := filepath.Join(c.folder, comebackUnit)
	was, err := os.ReadFile(full)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("preparing for a reboot: %w", err)
	}
	if text := c.text(); string(was) != text {
		if err := durable.WriteFile(full, []byte(text), 0o644); err != nil {
			return fmt.Errorf("preparing for a reboot: %w", err)
		}
	}
	if _, err := c.systemctl(ctx, "enable", comebackUnit); err != nil {
		return fmt.Errorf("preparing for a reboot: %w", err)
	}
	return nil
}

// End removes the unit, but for a rollout that is interrupted because the machine stops:
// systemd says so, or is gone already.
func (c *comeback) End(ctx context.Context, over bool) error {
	if !over {
		state, _ := c.systemctl(ctx, "is-system-running") // it fails for every state but one
		if !slices.Contains([]string{"running", "degraded", "starting", "initializing", "maintenance"}, strings.TrimSpace(state)) {
			return nil
		}
	}
	if _, err := c.systemctl(ctx, "disable", comebackUnit); err != nil {
		return fmt.Errorf("removing what was prepared for a reboot: %w", err)
	}
	if err := os.Remove(filepath.Join(c.folder, comebackUnit)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing what was prepared for a reboot: %w", err)
	}
	if _, err := c.systemctl(ctx, "daemon-reload"); err != nil {
		return fmt.Errorf("removing what was prepared for a reboot: %w", err)
	}
	return nil
}

func systemctl(ctx context.Context, args ...string) (string, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("systemctl %v: %w: %s", args, err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}
