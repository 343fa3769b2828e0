package lab

import (
	"context"
	"errors"
)

// CutPower ends a host as a power cut does: at one moment everything on it stops, then what its
// disks have is looked at by stopped, and it is off. PowerOn boots it again. A disk that is this
// machine's file system keeps what was written and not synced; fault.PowerCut has one that does
// not.
func (l *Lab) CutPower(ctx context.Context, host string, stopped func() error) error {
	name := l.Container(host)
	if err := l.engine.Freeze(ctx, name); err != nil {
		return err
	}
	return errors.Join(stopped(), l.engine.Kill(ctx, name)) // frozen it would stay so for good
}

// PowerOn starts a host that is off, and returns when it has booted and takes logins.
func (l *Lab) PowerOn(ctx context.Context, host string) error {
	if err := l.engine.StartContainer(ctx, l.Container(host)); err != nil {
		return err
	}
	return l.Await(ctx, host)
}
