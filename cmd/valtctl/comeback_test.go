package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// armed is a machine whose systemd is in a state, and that prepared for a reboot.
func armed(t *testing.T, state string) (*comeback, *[]string) {
	t.Helper()
	var ran []string
	c := &comeback{argv: []string{"/opt/valt tools/valtctl", "resume", "--site", `/srv/50% "new"/$site.yaml`}, state: "/root/state", folder: t.TempDir(),
		systemctl: func(_ context.Context, args ...string) (string, error) {
			ran = append(ran, args[0])
			if args[0] == "is-system-running" {
				return state + "\n", errors.New("exit status 1")
			}
			return "", nil
		}}
	for range 2 {
		if err := c.Arm(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return c, &ran
}

func TestARolloutFromAHostIsResumedAfterItsReboot(t *testing.T) {
	c, ran := armed(t, "stopping")
	if gone, _ := armed(t, "offline"); gone.End(t.Context(), false) != nil || !gone.armed() {
		t.Error("with systemd gone already it was taken away")
	}
	text, err := os.ReadFile(filepath.Join(c.folder, comebackUnit))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`ExecStart="/opt/valt tools/valtctl" "resume" "--site" "/srv/50%% \"new\"/$$site.yaml"`,
		`Environment="XDG_STATE_HOME=/root/state"`, "WantedBy=multi-user.target",
	} {
		if !slices.Contains(strings.Split(string(text), "\n"), line) {
			t.Errorf("the unit lacks %s:\n%s", line, text)
		}
	}
	if !slices.Contains(*ran, "enable") || slices.Contains(*ran, "start") {
		t.Errorf("systemctl was asked to %v; it should be for the next boot", *ran)
	}
	if err := c.End(t.Context(), false); err != nil || !c.armed() {
		t.Errorf("while the machine stops it was taken away (%v)", err)
	}
}

func TestAnEndedRolloutIsNotResumedAtTheNextBoot(t *testing.T) {
	for _, over := range []bool{true, false} { // false: a person stopped it
		c, ran := armed(t, "running")
		if err := c.End(t.Context(), over); err != nil || c.armed() {
			t.Errorf("over %t: it stays (%v)", over, err)
		}
		if !slices.Contains(*ran, "disable") || !slices.Contains(*ran, "daemon-reload") {
			t.Errorf("over %t: systemctl was asked to %v", over, *ran)
		}
	}
}
