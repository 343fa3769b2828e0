package cases

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// upgradeScript upgrades the engine's packages as a night's unattended upgrade does: with newer
// ones, without asking, and without a drain. The newer ones are the same under a higher revision.
const upgradeScript = `set -eu
d=$(mktemp -d)
chmod 755 "$d"
cd "$d"
apt-get -q download docker-ce containerd.io
for deb in *.deb; do
  dpkg-deb --raw-extract "$deb" tree
  sed -i 's/^Version: .*/&+night1/' tree/DEBIAN/control
  dpkg-deb --root-owner-group -Zgzip -z1 --build tree "new-$deb"
  rm -rf tree
done
DEBIAN_FRONTEND=noninteractive dpkg -i new-*.deb
rm -rf "$d"
`

// engineUpgrade has the Docker engine upgraded by somebody else between two runs: the containers
// are those that they were, and the next update begins with what is there.
func engineUpgrade(ctx context.Context, e *Env) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	was, err := e.engineProcess(ctx, host)
	if err != nil {
		return err
	}
	if _, err := e.Lab.Output(ctx, host, "sh", "-c", upgradeScript); err != nil {
		return err
	}
	version, err := e.Lab.Output(ctx, host, "dpkg-query", "--show", "--showformat", "${Version}", "docker-ce")
	if err != nil || !strings.HasSuffix(version, "+night1") {
		return fmt.Errorf("the engine was not upgraded: %s: %w", version, err)
	}
	if is, err := e.engineProcess(ctx, host); err != nil || is != was {
		return fmt.Errorf("the upgrade of the engine ended the media engine: process %s instead of %s: %w", is, was, err)
	}
	if _, err := e.Expect(ctx, 0, e.quick("update", "--to", releases.Canary, "--host", host)...); err != nil {
		return err
	}
	if err := errors.Join(e.haveReleases(ctx, map[string]string{host: releases.Canary}), e.settled(ctx, host)); err != nil {
		return err
	}
	if now, err := e.Lab.Output(ctx, host, "dpkg-query", "--show", "--showformat", "${Version}", "docker-ce"); err != nil || now != version {
		return fmt.Errorf("the update made the engine's version %s of %s: %w", now, version, err)
	}
	status, err := e.Expect(ctx, 3, "status", "--drift") // 3: the other hosts have another release
	if err == nil && !strings.Contains(status.Stdout, host+": no drift") {
		err = fmt.Errorf("%s is not what it should be: %s", host, status.Stdout)
	}
	return err
}

// engineProcess is the number of the media engine's first process.
func (e *Env) engineProcess(ctx context.Context, host string) (string, error) {
	return e.Lab.Output(ctx, host, "docker", "inspect", "--format", "{{.State.Pid}}", "valt-engine")
}
