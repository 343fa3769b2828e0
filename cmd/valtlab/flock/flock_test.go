package flock

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestSecondWaitsUntilTheFirstIsDone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "lock")
	unlock, err := Acquire(t.Context(), path, func() { t.Error("nobody else holds the lock") })
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan struct{})
	got := make(chan error, 1)
	go func() {
		unlockSecond, err := Acquire(t.Context(), path, func() { close(waited) })
		if err == nil {
			unlockSecond()
		}
		got <- err
	}()
	<-waited
	select {
	case err := <-got:
		t.Fatalf("the second got the lock while the first had it: %v", err)
	default:
	}
	unlock()
	if err := <-got; err != nil {
		t.Fatalf("the second did not get the lock: %v", err)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Acquire(t.Context(), path, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Acquire(ctx, path, cancel)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the context's end", err)
	}
}
