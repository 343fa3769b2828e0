package lab

import (
	"context"

	"ipivs.com/valtctl/cmd/valtlab/flock"
)

// lock keeps two commands from changing the lab at a time.
func (l *Lab) lock(ctx context.Context) (unlock func(), err error) {
	return flock.Acquire(ctx, l.Path("lock"), func() {
		l.Note("lab", "another valtlab is changing this lab: waiting for it")
	})
}
