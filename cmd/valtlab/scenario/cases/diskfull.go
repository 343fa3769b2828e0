package cases

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/sleep"
)

// diskFull fills disks under a host while it is changed: under what valtctl keeps, under all but Docker,
// and under Docker. It goes back in time, with nobody there any more, or refuses; and a later
// update is what it always is.
func diskFull(ctx context.Context, e *Env) error {
	return e.parts(ctx,
		show{"under what valtctl keeps", e.keptFull},
		show{"under everything but Docker", e.rootFull},
		show{"under Docker", e.dockerFull})
}

// filling is a disk that can be put under a host, filled and freed.
type filling interface {
	fault.Fault
	Fill(context.Context, *lab.Lab) error
	GiveRoom(context.Context, *lab.Lab) error
}

// keptFull fills a small disk with what valtctl keeps.
func (e *Env) keptFull(ctx context.Context) error {
	return e.backInSpite(ctx, func(host string) filling { return &smallDisk{fault.FullDisk{Host: host, Path: "/var/lib/valtctl"}} })
}

// smallDisk is a FullDisk that is put in place before it is filled.
type smallDisk struct{ fault.FullDisk }

func (d *smallDisk) Begin(ctx context.Context, l *lab.Lab) error { return d.Prepare(ctx, l) }
func (d *smallDisk) Fill(ctx context.Context, l *lab.Lab) error  { return d.FullDisk.Begin(ctx, l) }

// rootFull fills a disk with all that an update writes to beside Docker.
func (e *Env) rootFull(ctx context.Context) error {
	return e.backInSpite(ctx, func(host string) filling {
		return &fault.Disk{Host: host, Folders: []string{"/var/lib/valtctl", "/etc/valt", "/etc/apt", "/etc/docker", "/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt"}}
	})
}

// backInSpite has the disk run full once the host has switched, and nobody there any more.
func (e *Env) backInSpite(ctx context.Context, of func(host string) filling) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	site, err := e.siteWith("updates: { confirm_within: 10s }\n")
	if err != nil {
		return err
	}
	disk := of(host)
	if err := disk.Begin(ctx, e.Lab); err != nil {
		return err
	}
	defer func() { _ = disk.End(context.WithoutCancel(ctx), e.Lab) }() // End below says what went wrong
	if err := e.strikeUpdate(ctx, host, releases.Canary, switched, []string{"--site", site}); err != nil {
		return err
	}
	if err := disk.Fill(ctx, e.Lab); err != nil {
		return err
	}
	if err := e.awaitBack(ctx, host); err != nil {
		return err
	}
	if err := e.haveReleases(ctx, map[string]string{host: releases.Stable}); err != nil {
		return err
	}
	if err := disk.GiveRoom(ctx, e.Lab); err != nil {
		return err
	}
	if err := e.awaitOver(ctx, host); err != nil {
		return err
	}
	if err := e.awaitLease(ctx); err != nil {
		return err
	}
	if _, err := e.Expect(ctx, 0, "resume", "--yes", "--host", host); err != nil {
		return err
	}
	if err := e.haveReleases(ctx, map[string]string{host: releases.Canary}); err != nil {
		return err
	}
	if err := e.settled(ctx, host); err != nil {
		return err
	}
	return disk.End(ctx, e.Lab)
}

// dockerFull fills Docker's disk in the middle of an image, and has it full before the next update:
// both leave the host as it was, and say why.
func (e *Env) dockerFull(ctx context.Context) (err error) {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	disk := &fault.Disk{Host: host, Folders: []string{"/var/lib/docker"}}
	if err := e.withoutDocker(ctx, host, func() error { return disk.Begin(ctx, e.Lab) }); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, e.withoutDocker(ctx, host, func() error { return disk.End(ctx, e.Lab) }))
		if err == nil {
			err = e.settled(ctx, host)
		}
	}()
	fill := func() error { return disk.Fill(ctx, e.Lab) }
	code, said, err := e.updating(ctx, host, releases.Canary, func(one saidEvent) bool { return one.Host == host && one.StepKind == docker.KindImage }, fill)
	if err != nil {
		return err
	}
	if code == 0 || !strings.Contains(said, "space") {
		return fmt.Errorf("with Docker's disk full the update ended with %d and does not tell of space: %s", code, said)
	}
	again, err := e.Run(ctx, e.quick("update", "--to", releases.Canary, "--host", host)...)
	if err != nil {
		return err
	}
	if said := again.Stdout + again.Stderr; again.Code != 3 || !strings.Contains(said, "space") { // nobody was kept out for it
		return fmt.Errorf("with Docker's disk full before, the update ended with %d, not 3, or does not tell of space: %s", again.Code, said)
	}
	e.Measure("with Docker's disk full before", "exit %d", again.Code)
	if err := e.haveReleases(ctx, map[string]string{host: releases.Stable}); err != nil {
		return err
	}
	if err := e.settled(ctx, host); err != nil {
		return err
	}
	if err := disk.GiveRoom(ctx, e.Lab); err != nil {
		return err
	}
	if _, err := e.Expect(ctx, 0, e.quick("update", "--to", releases.Canary, "--host", host)...); err != nil {
		return err
	}
	return e.haveReleases(ctx, map[string]string{host: releases.Canary})
}

// withoutDocker does something while a host's engine and its containers are down, which nobody uses
// then.
func (e *Env) withoutDocker(ctx context.Context, host string, do func() error) error {
	if _, err := e.Lab.Output(ctx, host, "sh", "-c", "docker stop $(docker ps -q) && systemctl stop docker.socket docker.service"); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	if _, err := e.Lab.Output(ctx, host, "sh", "-c", "systemctl start docker.service && docker start valt-engine"); err != nil {
		return err
	}
	for start := e.Now(); ; {
		err := e.serves(ctx)
		if err == nil || e.Now().Sub(start) > hostWithin {
			return err
		}
		if err := sleep.For(ctx, time.Second); err != nil {
			return err
		}
	}
}
