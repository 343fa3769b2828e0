package txn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// How long a half of a transaction may take in all where its request says nothing. Every call
// in it has a deadline of its own; this one ends what calls do again and again.
const (
	fetchWithin = 24 * time.Hour // a release over a slow line
	applyWithin = 4 * time.Hour
)

// maxBoots is how many boots a transaction may go on in: the one it was begun in, those that it
// asks for, and some that somebody else caused. A host that restarts again and again is not made
// better by going on.
const maxBoots = 6

// tooManyBoots is why a transaction is not gone on with; nil: it may be.
func (e *engine) tooManyBoots() error {
	e.past.boots[e.machine.BootID] = true
	if len(e.past.boots) <= maxBoots {
		return nil
	}
	return &problem.Error{Kind: problem.Failed, Doing: "going on after a restart of", Object: e.request.Host,
		Err: fmt.Errorf("the host has restarted %d times meanwhile", len(e.past.boots)-1),
		Fix: "find out why it restarts: journalctl --list-boots, journalctl -b -1"}
}

// limit is how long a half may take.
func (r Request) limit(half step.Half) time.Duration {
	if half == step.Fetch {
		return fetchWithin
	}
	if within, err := time.ParseDuration(r.ApplyWithin); err == nil && within > 0 {
		return within
	}
	return applyWithin
}

// errTooLate is that the time has gone by in which the apply half might begin.
var errTooLate = errors.New("it may not begin any more")

// tooLate is why the apply half may not begin any more; nil: it may, or has begun, and is
// brought to its end whatever the clock says.
func (e *engine) tooLate(half step.Half) error {
	latest := e.request.Before
	if half != step.Apply || latest.IsZero() {
		return nil
	}
	now := e.store.now()
	if now.Before(latest) {
		return nil
	}
	for _, s := range e.request.Steps {
		if s.Half == step.Apply && e.past.began[s.ID] {
			return nil
		}
	}
	return &problem.Error{Kind: problem.Halted, Doing: "beginning to change", Object: e.request.Host,
		Err: fmt.Errorf("%w: everything was fetched at %s, and it was to begin before %s", errTooLate,
			now.UTC().Format(time.DateTime), latest.UTC().Format(time.DateTime)),
		Fix: "nothing that serves was changed, and what was fetched stays: it begins in the next maintenance window"}
}

// tooLong is why a half was ended.
func tooLong(half step.Half, limit time.Duration) error {
	return &problem.Error{Kind: problem.Failed, Doing: "running the " + string(half) + " half", Err: fmt.Errorf("it was not over within %s", limit),
		Fix: "find out what hangs on the host: valtctl logs, valtctl status"}
}

// limited does something that ends after a time.
func limited(ctx context.Context, within time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("it was not over within %s", within))
	defer cancel()
	err := do(ctx)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	return err
}
