// Package sleep waits for a time, or until a context ends, and has one end when something is seen. It stands below everything, so
// that nobody writes that once more; what is waited for, and how often, is the caller's to say.
package sleep

import (
	"context"
	"time"
)

// For waits for d, or until ctx ends before: then it returns ctx's error. No time, or less,
// is over at once.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Watched is ctx until look fails, which is asked at once and then every so often: the error is the
// context's cause. The function ends the watching and returns once that has ended.
func Watched(ctx context.Context, every time.Duration, look func() error) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			if err := look(); err != nil {
				cancel(err)
				return
			}
			if For(ctx, every) != nil {
				return
			}
		}
	}()
	return ctx, func() { cancel(nil); <-over }
}
