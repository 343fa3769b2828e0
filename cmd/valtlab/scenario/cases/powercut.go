package cases

import (
	"context"
	"fmt"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/sleep"
	"ipivs.com/valtctl/updater/drain"
)

// whatIsKept are the folders of a host in which the product keeps what it goes on by.
var whatIsKept = []string{"/var/lib/valtctl", "/etc/valt"}

// powerCut takes a media host's power away at random moments of an update, together with what was
// not synced: another controller brings each to its end with the site file alone.
func powerCut(ctx context.Context, e *Env) error {
	kinds := []step.KindName{docker.KindImage, apt.KindDownload, drain.KindDrain, apt.KindPackages, docker.KindContainer, docker.KindHealth, switched}
	if e.Sample {
		n := e.Random.IntN(len(kinds))
		kinds = kinds[n : n+1]
	}
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	for range e.Count {
		for _, kind := range kinds {
			later := time.Duration(e.Random.IntN(1500)) * time.Millisecond
			what := fmt.Sprintf("power cut %s after %s began", later, kind)
			if err := e.Timed(what, func() error { return e.powerCutAt(ctx, kind, later) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Env) powerCutAt(ctx context.Context, kind step.KindName, later time.Duration) (err error) {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	power := &fault.PowerCut{Disk: fault.Disk{Host: host, Folders: whatIsKept}}
	if err := power.Begin(ctx, e.Lab); err != nil {
		return err
	}
	cut := func(ctx context.Context, _ string) error {
		if err := sleep.For(ctx, later); err != nil {
			return err
		}
		return power.Cut(ctx, e.Lab)
	}
	if err := e.updateStruckOn(ctx, host, kind, cut); err != nil {
		return err
	}
	return power.End(ctx, e.Lab)
}
