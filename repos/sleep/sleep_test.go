package sleep

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		limited, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, c := range []struct {
			wait, takes time.Duration
			want        error
		}{
			{-time.Second, 0, nil}, {0, 0, nil}, {40 * time.Second, 40 * time.Second, nil},
			{time.Hour, 20 * time.Second, context.DeadlineExceeded}, // the minute is over then
			{0, 0, context.DeadlineExceeded},
		} {
			err := For(limited, c.wait)
			if took := time.Since(begun); took != c.takes || !errors.Is(err, c.want) {
				t.Errorf("waiting for %s took %s and says %v", c.wait, took, err)
			}
			begun = time.Now()
		}
	})
}

func TestWatchedEndsWithWhatIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, seen := time.Now(), errors.New("called off")
		ctx, end := Watched(t.Context(), time.Second, func() error {
			if time.Since(begun) >= 3*time.Second {
				return seen
			}
			return nil
		})
		<-ctx.Done()
		if took := time.Since(begun); took != 3*time.Second || context.Cause(ctx) != seen {
			t.Errorf("after %s: %v", took, context.Cause(ctx))
		}
		end()
		looks := 0
		ctx, end = Watched(t.Context(), time.Second, func() error { looks++; return nil })
		if err := For(ctx, 2500*time.Millisecond); err != nil {
			t.Error(err)
		}
		end()
		if ctx.Err() == nil || looks != 3 {
			t.Errorf("it was looked %d times, and the context: %v", looks, ctx.Err())
		}
	})
}
