package fault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/repos/sleep"
)

// Locks that apt and dpkg take, each with fcntl(2) (apt-get(8), FILES).
const (
	LockFrontend = "/var/lib/dpkg/lock-frontend"
	LockDpkg     = "/var/lib/dpkg/lock"
	LockLists    = "/var/lib/apt/lists/lock"
	LockArchives = "/var/cache/apt/archives/lock"
)

// AptLock holds apt's and dpkg's locks on a host from a process there, as an
// unattended upgrade does. The process is a transient unit and ends by itself.
type AptLock struct {
	Host  string
	Locks []string // empty: frontend, dpkg and lists
}

const lockUnit = "valtlab-apt-lock.service"

// lockProgram holds the locks that it is given, waiting for whoever has them now.
const lockProgram = `import fcntl, sys, time
held = [open(path, "w") for path in sys.argv[1:]]
for f in held: fcntl.lockf(f, fcntl.LOCK_EX)
open("/run/valtlab-apt-lock", "w").close()
time.sleep(3600)
`

// Begin takes the locks and returns once they are held.
func (a AptLock) Begin(ctx context.Context, l *lab.Lab) error {
	locks := a.Locks
	if len(locks) == 0 {
		locks = []string{LockFrontend, LockDpkg, LockLists}
	}
	argv := []string{"systemd-run", "--quiet", "--collect", "--unit", lockUnit, "--property=RuntimeMaxSec=3600",
		"--property=ExecStopPost=rm -f /run/valtlab-apt-lock", "python3", "-c", lockProgram}
	if _, err := l.Output(ctx, a.Host, append(argv, locks...)...); err != nil {
		return fmt.Errorf("holding apt's locks on %s: %w", a.Host, err)
	}
	for range 100 {
		if _, err := l.Output(ctx, a.Host, "test", "-e", "/run/valtlab-apt-lock"); err == nil {
			return nil
		}
		if err := sleep.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("holding apt's locks on %s: somebody else has had them for ten seconds", a.Host)
}

// End gives the locks back.
func (a AptLock) End(ctx context.Context, l *lab.Lab) error {
	_, err := l.Output(ctx, a.Host, "systemctl", "stop", lockUnit)
	if err != nil && !strings.Contains(err.Error(), "not loaded") {
		return fmt.Errorf("giving apt's locks back on %s: %w", a.Host, err)
	}
	return nil
}

// BrokenDpkg leaves a real package half-configured on a host, as a power cut in the
// middle of an installation does. Its end is the repair that an administrator makes.
type BrokenDpkg struct {
	Host    string
	Package string // one that the world's mirror has; empty: cron
	// Needs are packages of the mirror to install properly before.
	Needs []string
}

// breakScript installs the package while the tool that its postinst calls fails. It is
// given the package and the .deb's path.
const breakScript = `set -u
export DEBIAN_FRONTEND=noninteractive
bin=$(mktemp -d)
for tool in deb-systemd-helper deb-systemd-invoke update-rc.d adduser systemctl systemd-sysusers; do
  printf '#!/bin/sh\nexit 1\n' > "$bin/$tool"; chmod +x "$bin/$tool"
done
PATH="$bin:$PATH" dpkg --force-depends -i "$2"
rm -rf "$bin"
state=$(dpkg-query --showformat '${db:Status-Abbrev}' --show "$1")
case "$state" in iF*|iU*|iH*) exit 0;; esac
echo "the package is in state $state" >&2
exit 1
`

// withDefaults breaks cron, whose repair needs nothing that a bare host lacks.
func (b BrokenDpkg) withDefaults() BrokenDpkg {
	if b.Package == "" {
		b.Package, b.Needs = "cron", []string{"cron-daemon-common"}
	}
	return b
}

// Begin breaks the package.
func (b BrokenDpkg) Begin(ctx context.Context, l *lab.Lab) error {
	b = b.withDefaults()
	for _, name := range b.Needs {
		if err := installWith(ctx, l, b.Host, name, "dpkg", "--install"); err != nil {
			return err
		}
	}
	err := installWith(ctx, l, b.Host, b.Package, "sh", "-c", breakScript, "break", b.Package)
	if err != nil {
		return fmt.Errorf("leaving %s half-configured on %s: %w", b.Package, b.Host, err)
	}
	return nil
}

// installWith puts a package of the mirror on the host and runs the command with its
// path as the last argument.
func installWith(ctx context.Context, l *lab.Lab, host, name string, argv ...string) error {
	deb, err := l.MirrorPackage(host, name)
	if err != nil {
		return err
	}
	target := "/var/cache/valtlab-" + name + ".deb"
	if err := l.Put(ctx, host, target, deb); err != nil {
		return err
	}
	if _, err := l.Output(ctx, host, append(argv, target)...); err != nil {
		return fmt.Errorf("installing %s on %s: %w", name, host, err)
	}
	if _, err := l.Output(ctx, host, "rm", "-f", target); err != nil {
		return fmt.Errorf("cleaning up on %s: %w", host, err)
	}
	return nil
}
