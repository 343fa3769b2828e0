// Package sleep waits for a time, or until a context ends. It stands below everything, so
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
