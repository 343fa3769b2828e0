package cases

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// orphanScript has the engine forget the media engine's container, whose process lives on and keeps
// its ports (containerd/containerd#7040): the engine is stopped, which leaves what runs alone, its
// record of the container removed, and the engine started. It prints the process's number.
const orphanScript = `set -eu
id=$(docker inspect --format '{{.Id}}' valt-engine)
pid=$(docker inspect --format '{{.State.Pid}}' valt-engine)
systemctl stop docker.socket docker.service
rm -rf "/var/lib/docker/containers/$id"
systemctl start docker.service
kill -0 "$pid"
echo "$pid"
`

// orphan has a former media engine live on that Docker does not know any more, with the role's
// ports in its hand. An update leaves it alone, since it may record, and says who holds the port;
// once it is gone, the update comes to its end.
func orphan(ctx context.Context, e *Env) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	pid, err := e.Lab.Output(ctx, host, "sh", "-c", orphanScript)
	if err != nil {
		return err
	}
	end := func() error {
		_, err := e.Lab.Output(ctx, host, "sh", "-c", `kill -KILL "$1"; while kill -0 "$1" 2>/dev/null; do sleep 0.1; done`, "end", pid)
		return err
	}
	defer func() { _ = end() }() // also where it failed
	result, err := e.Run(ctx, e.quick("update", "--to", releases.Canary, "--host", host)...)
	if err != nil {
		return err
	}
	said := result.Stdout + result.Stderr
	if result.Code == 0 || !strings.Contains(said, pid) {
		return fmt.Errorf("the update ended with %d and does not name process %s, which holds the engine's ports: %s", result.Code, pid, said)
	}
	e.Measure("with the orphan there", "exit %d", result.Code)
	if _, err := e.Lab.Output(ctx, host, "kill", "-0", pid); err != nil {
		return fmt.Errorf("process %s was ended, whatever it recorded: %w", pid, err)
	}
	if err := end(); err != nil {
		return err
	}
	if _, err := e.Expect(ctx, 0, e.quick("update", "--to", releases.Canary, "--host", host)...); err != nil {
		return err
	}
	return errors.Join(e.haveReleases(ctx, map[string]string{host: releases.Canary}), e.settled(ctx, host))
}
