package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
	"ipivs.com/valtctl/updater/drain"
)

// How often and for how long nothing must be recorded before the application is changed.
const awaitEvery = 2 * time.Second

// awaitRecordings waits until no other host records: the application drives recordings,
// and nobody could stop one while it is away. A host that cannot be asked is not quiet.
func (d *driver) awaitRecordings(ctx context.Context, host string) error {
	began, quiet := d.Now(), 0
	within := d.drainWithin(host, began)
	for {
		busy := d.recording(ctx, host)
		if quiet++; len(busy) > 0 {
			quiet = 0
		}
		if quiet >= d.readings() {
			return nil
		}
		if left := within - d.Now().Sub(began); left <= 0 && len(busy) > 0 {
			return &problem.Error{Kind: problem.Halted, Doing: "waiting for recordings before changing", Object: host,
				Err: fmt.Errorf("%w after %s: %s", step.ErrNotDrained, within, strings.Join(busy, ", ")),
				Fix: "run the command again when they have ended"}
		} else if len(busy) > 0 {
			d.Observer.Observe(event.Event{Kind: event.Progress, Host: host,
				Text: fmt.Sprintf("waiting for %s, %s left", strings.Join(busy, ", "), left.Round(time.Second))})
		}
		if err := sleep.For(ctx, awaitEvery); err != nil {
			return err
		}
	}
}

// readings is how many looks in a row must find nothing recorded.
func (d *driver) readings() int {
	return max(1, d.target.Manifest.Drain.QuietSeconds/int(awaitEvery/time.Second)) + 1
}

// nothingElsewhere answers a host whose gate is closed: only now nobody can begin a recording
// by it any more, so all others are asked again. The error names what goes on, or who could
// not be asked.
func (d *driver) nothingElsewhere(host string) fleet.Approval {
	return func(ctx context.Context) error {
		for look := range d.readings() {
			if look > 0 {
				if err := sleep.For(ctx, awaitEvery); err != nil {
					return err
				}
			}
			if busy := d.recording(ctx, host); len(busy) > 0 {
				return errors.New(strings.Join(busy, ", "))
			}
		}
		return nil
	}
}

// recording names what is recorded on the site's media hosts other than this one, and those of
// which that cannot be found out.
func (d *driver) recording(ctx context.Context, but string) []string {
	asked := slices.DeleteFunc(d.work.Whole(), func(h *fleet.Host) bool { return h.Name == but || h.Name == d.apart || !h.HasEngine() })
	said := make([][]string, len(asked))
	var all sync.WaitGroup
	for i, h := range asked {
		all.Go(func() {
			engine, err := d.engine(ctx, d.target, h.Name)
			if err != nil {
				said[i] = []string{fmt.Sprintf("%s, of which it is not known (%s)", h.Name, oneLine(fleet.Bare(err)))}
			}
			for _, r := range engine.Busy() {
				said[i] = append(said[i], h.Name+" "+r.Name)
			}
		})
	}
	all.Wait()
	return slices.Concat(said...)
}

// engine asks what a media host's engine does.
func (d *driver) engine(ctx context.Context, t *installer.Target, host string) (wowza.State, error) {
	access, err := drain.Engine(t.Manifest)
	if err != nil {
		return wowza.State{}, err
	}
	h, err := d.work.Anywhere(host)
	if err != nil {
		return wowza.State{}, err
	}
	return h.Engine(ctx, *access)
}
