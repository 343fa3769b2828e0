package cases

import (
	"context"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// foreignScript makes and installs somebody's package that restarts Docker from its postinst
// whenever another one brings files that it looks at (deb-triggers(5)), as google/gvisor#6408 tells.
const foreignScript = `set -eu
d=$(mktemp -d)
mkdir -p "$d/DEBIAN"
chmod 755 "$d"
cat > "$d/DEBIAN/control" <<END
Package: foreign-monitor
Version: 1.0
Architecture: all
Maintainer: Somebody <somebody@valt.lab.example>
Description: somebody's package that restarts Docker (practice site)
END
echo "interest-noawait /usr/share/valt-host" > "$d/DEBIAN/triggers"
cat > "$d/DEBIAN/postinst" <<END
#!/bin/sh
set -e
[ "\$1" = triggered ] || exit 0
systemctl restart docker.service
echo restarted >> /var/log/foreign-monitor.log
END
chmod 755 "$d/DEBIAN/postinst"
dpkg-deb --root-owner-group --build "$d" /var/cache/foreign-monitor.deb
dpkg -i /var/cache/foreign-monitor.deb
rm -rf "$d" /var/cache/foreign-monitor.deb /var/log/foreign-monitor.log
`

// foreignPostinst has somebody's package restart Docker in the middle of the packages of a host, on
// its way to a release and back: both come to their end, and no recording is cut.
func foreignPostinst(ctx context.Context, e *Env) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	if _, err := e.Lab.Output(ctx, host, "sh", "-c", foreignScript); err != nil {
		return err
	}
	defer func() { _, _ = e.Lab.Output(ctx, host, "dpkg", "--purge", "foreign-monitor") }() // also where it failed
	if _, err := e.Expect(ctx, 0, e.quick("update", "--to", releases.Canary, "--host", host)...); err != nil {
		return err
	}
	if err := e.restartedDocker(ctx, host, 1); err != nil {
		return err
	}
	if err := e.haveReleases(ctx, map[string]string{host: releases.Canary}); err != nil {
		return err
	}
	if err := e.settled(ctx, host); err != nil {
		return err
	}
	if _, err := e.Expect(ctx, 0, e.quick("rollback", "--to", releases.Stable, "--host", host)...); err != nil {
		return err
	}
	if err := e.restartedDocker(ctx, host, 2); err != nil {
		return err
	}
	if err := e.haveReleases(ctx, map[string]string{host: releases.Stable}); err != nil {
		return err
	}
	media, err := e.mediaHosts()
	if err != nil {
		return err
	}
	if err := e.noneLost(ctx, media); err != nil {
		return err
	}
	return e.settled(ctx, host)
}

// restartedDocker wants the foreign package to have restarted Docker at least so often: otherwise
// nothing was shown.
func (e *Env) restartedDocker(ctx context.Context, host string, times int) error {
	out, err := outputIfThere(ctx, e.Lab, host, "cat", "/var/log/foreign-monitor.log")
	if err == nil && strings.Count(out, "restarted") < times {
		err = fmt.Errorf("the foreign package restarted Docker %d times instead of %d", strings.Count(out, "restarted"), times)
	}
	return err
}
