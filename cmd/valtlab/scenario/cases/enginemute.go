package cases

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/cmd/valtlab/standin/engine"
)

// unwellMark is the file that makes the media engine of the release Unwell ill, by its text.
var unwellMark = path.Join(recordingsFolder, releases.UnwellMark)

// engineMute has a media engine that takes every question and answers none. From its first moment on
// nobody has been let in, and the host is as it was. In the soak it may record, and cannot be asked:
// it is left alone, a person is told, and once it answers it goes back.
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
	if when != nil {
		if err := e.backOnceItAnswers(ctx, host, said, well); err != nil {
			return err
		}
	}
	// What stands there now is the former engine, which the mark does not concern.
	return errors.Join(e.haveReleases(ctx, map[string]string{host: releases.Stable}), e.settled(ctx, host))
}

// backOnceItAnswers wants a host to have been left alone with an engine that could not be asked, and to
// go back when it can be.
func (e *Env) backOnceItAnswers(ctx context.Context, host, said string, well func() error) error {
	if !strings.Contains(said, "asking the media engine") {
		return fmt.Errorf("nobody says that the engine could not be asked: %s", said)
	}
	stands, err := e.Run(ctx, "status")
	if err != nil {
		return err
	}
	if !strings.Contains(stands.Stdout, host+": container valt-engine is unhealthy") {
		return fmt.Errorf("the status does not name it: %s%s", stands.Stdout, stands.Stderr)
	}
	if err := well(); err != nil {
		return err
	}
	return e.at(ctx, releases.Stable)
}
