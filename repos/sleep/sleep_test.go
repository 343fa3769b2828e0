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
