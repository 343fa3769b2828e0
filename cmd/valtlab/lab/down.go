package lab

import (
	"context"
	"fmt"
	"os"
)

// Down removes everything of the lab: containers, networks, volumes and the state
// folder. The cache stays unless purge is asked for. Images of the engine are part of
// the cache.
func (l *Lab) Down(ctx context.Context, purge bool) error {
	if err := l.engine.Ping(ctx); err == nil {
		if err := l.own(ctx); err != nil {
			return err
		}
		removed, err := l.engine.RemoveLab(ctx, l.Name())
		if err != nil {
			return err
		}
		l.Note("lab", "removed %d containers with their networks and volumes", removed)
	} else {
		l.Note("lab", "no Docker engine answers: only files are removed")
	}
	if err := l.removeState(); err != nil {
		return err
	}
	if !purge {
		return nil
	}
	if err := l.engine.RemoveImages(ctx, "valtlab/*"); err != nil {
		return err
	}
	if err := os.RemoveAll(l.options.Cache); err != nil {
		return fmt.Errorf("removing the cache: %w", err)
	}
	return nil
}

// removeState removes the state folder, but only one that is a lab's.
func (l *Lab) removeState() error {
	if _, err := os.Stat(l.statePath()); os.IsNotExist(err) {
		return nil
	}
	if _, err := l.load(); err != nil {
		return err
	}
	if err := os.RemoveAll(l.options.Dir); err != nil {
		return fmt.Errorf("removing the state folder: %w", err)
	}
	return nil
}
