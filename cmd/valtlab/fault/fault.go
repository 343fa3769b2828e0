// Package fault makes bad days on hosts of the practice site: traffic dropped or
// refused, links slow or cut, disks full, processes killed, apt's locks held, dpkg
// interrupted. Every fault has an end: Hold waits and ends it, and Clear ends
// whatever was left behind. Network faults are made in a host's own network from
// outside, so that they need nothing on it and leave no trace.
package fault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// Fault is one thing that is wrong with one host.
type Fault interface {
	// Begin makes it so.
	Begin(context.Context, *lab.Lab) error
	// End puts it right. Ending what has ended is no error.
	End(context.Context, *lab.Lab) error
}

// cleanup is how long ending a fault may take after the work was cancelled.
const cleanup = 30 * time.Second

// Hold begins a fault and ends it after d, or as soon as the context ends. A fault
// whose beginning fails half-way is ended too.
func Hold(ctx context.Context, l *lab.Lab, f Fault, d time.Duration) (err error) {
	defer func() {
		endCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
		defer cancel()
		err = errors.Join(err, f.End(endCtx, l))
	}()
	if err := f.Begin(ctx, l); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// Clear ends every fault that can be left behind on the hosts and between them.
func Clear(ctx context.Context, l *lab.Lab, hosts ...string) error {
	var errs []error
	if err := (OnTheWay{}).End(ctx, l); err != nil {
		errs = append(errs, err)
	}
	for _, host := range hosts {
		for _, f := range []Fault{Packets{Host: host}, Slow{Host: host}, FullDisk{Host: host}, AptLock{Host: host}} {
			if err := f.End(ctx, l); err != nil {
				errs = append(errs, fmt.Errorf("clearing %s: %w", host, err))
			}
		}
	}
	return errors.Join(errs...)
}
