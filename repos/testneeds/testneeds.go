// Package testneeds says what a test needs of the machine beyond Go: a program, root, a file,
// a Docker engine, a browser. Where it is not there the test is skipped with one line that says
// what to install; where everything is promised to be there (make test, after the lab's
// prepare) the same line is a failure, so that no test is lost unseen. It decides nothing else.
package testneeds

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Everything is the environment variable that promises that all needs of all tests are met.
const Everything = "VALTCTL_TEST_EVERYTHING"

// Need is one thing of the machine. It says what is missing, or nothing.
type Need func() (missing string)

// Of skips the test unless all needs are met; where Everything is promised it fails.
func Of(t testing.TB, needs ...Need) {
	t.Helper()
	missing := Missing(needs...)
	switch {
	case missing == "":
	case os.Getenv(Everything) != "":
		t.Fatalf("this test needs %s, and %s promises it", missing, Everything)
	default:
		t.Skipf("this test needs %s", missing)
	}
}

// Missing is what of the needs is not met, in words; empty where all are.
func Missing(needs ...Need) string {
	var all []string
	for _, n := range needs {
		if m := n(); m != "" {
			all = append(all, m)
		}
	}
	return strings.Join(all, ", ")
}

// Program is met by a program in PATH; pkg is the Debian package that brings it.
func Program(name, pkg string) Need {
	return func() string {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Sprintf("%s (apt install %s)", name, pkg)
		}
		return ""
	}
}

// File is met by a file or folder; pkg is the Debian package that brings it.
func File(path, pkg string) Need {
	return func() string {
		if _, err := os.Stat(path); err != nil {
			return fmt.Sprintf("%s (apt install %s)", path, pkg)
		}
		return ""
	}
}

// Root is met by root with the rights that namespaces, mounts and firewalls want; the root of
// an ordinary container has not got them.
func Root() string {
	if os.Geteuid() != 0 {
		return "root"
	}
	const admin, net = 21, 12 // CAP_SYS_ADMIN, CAP_NET_ADMIN: capabilities(7), linux/capability.h
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "Linux's /proc"
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			held, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			if err != nil || held&(1<<admin) == 0 || held&(1<<net) == 0 {
				return "root with all rights (CAP_SYS_ADMIN, CAP_NET_ADMIN)"
			}
		}
	}
	return ""
}

// Namespaces is met where unshare(1) may make a network namespace, as root or as somebody who
// is root inside.
func Namespaces() string {
	if exec.Command("unshare", "--map-root-user", "--net", "true").Run() != nil {
		return "the right to make namespaces (root, or kernel.unprivileged_userns_clone=1, and util-linux)"
	}
	return ""
}

// Engine is met by a Docker engine that may be asked.
func Engine() string {
	conn, err := net.Dial("unix", "/var/run/docker.sock")
	if err != nil {
		return "a running Docker engine (apt install docker.io)"
	}
	_ = conn.Close() // nothing was asked
	return ""
}

// Browser is met by a Chromium under one of the names that distributions give it.
func Browser() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless_shell", "headless-shell", "chrome"} {
		if _, err := exec.LookPath(name); err == nil {
			return ""
		}
	}
	return "Chromium (apt install chromium)"
}
