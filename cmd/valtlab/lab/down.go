package lab

import (
	"context"
	"fmt"
	"os"
)

// DownOptions say what Down removes beside the lab that is this folder's.
type DownOptions struct {
	Purge bool // the cache, which the engine's images are part of
	Any   bool // a lab of this name whatever folder it is of
}

// Down removes everything of the lab: containers, networks, volumes and the state
// folder.
func (l *Lab) Down(ctx context.Context, o DownOptions) error {
	if err := l.engine.Ping(ctx); err == nil {
		if err := l.own(ctx); err != nil && !o.Any {
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
	if !o.Purge {
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
