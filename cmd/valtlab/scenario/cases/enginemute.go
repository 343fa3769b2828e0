package cases

import (
	"context"
	"errors"
	"fmt"
	"path"

	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/cmd/valtlab/standin/engine"
)

// unwellMark is the file that makes the media engine of the release Unwell ill, by its text.
var unwellMark = path.Join(recordingsFolder, releases.UnwellMark)

// engineMute has a media engine that takes every question and answers none: from its first moment,
// and from a moment of the soak. Either way the host is as it was, though the engine cannot be
// asked whether it records.
func engineMute(ctx context.Context, e *Env) error {
	return e.parts(ctx,
		show{"from its first moment", func(ctx context.Context) error { return e.muted(ctx, nil) }},
		show{"in the soak", func(ctx context.Context) error { return e.muted(ctx, inSoak) }})
}

// muted makes the engine mute when the product tells of something about the host; nil: before the
// update.
func (e *Env) muted(ctx context.Context, when func(host string) func(saidEvent) bool) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	host, err := e.oneMedia()
	if err != nil {
		return err
	}
	mute := func() error { return e.Lab.Put(ctx, host, unwellMark, []byte(engine.Mute)) }
	well := func() error {
		_, err := e.Lab.Output(ctx, host, "rm", "-f", unwellMark)
		return err
	}
	defer func() { _ = well() }() // also where the update failed
	code, said := 0, ""
	if when == nil {
		if err := mute(); err != nil {
			return err
		}
		result, err := e.Run(ctx, e.quick("update", "--to", releases.Unwell, "--host", host)...)
		if err != nil {
			return err
		}
		code, said = result.Code, result.Stdout+result.Stderr
	} else if code, said, err = e.updating(ctx, host, releases.Unwell, when(host), mute, "--soak", "20s"); err != nil {
		return err
	}
	if code != 4 {
		return fmt.Errorf("an engine that is mute ended the update with %d instead of 4: %s", code, said)
	}
	// What stands there now is the former engine, which the mark does not concern.
	return errors.Join(e.haveReleases(ctx, map[string]string{host: releases.Stable}), e.settled(ctx, host))
}
