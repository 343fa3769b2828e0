package lab

import (
	"context"
	"fmt"
	"time"
)

// Boot tells a host's boots apart: the time its first process started, as the engine
// has it. The kernel is this machine's and stays the same.
func (l *Lab) Boot(ctx context.Context, host string) (time.Time, error) {
	started, err := l.engine.StartedAt(ctx, l.Container(host))
	if err != nil {
		return time.Time{}, err
	}
	if started.IsZero() {
		return started, fmt.Errorf("%s does not run", host)
	}
	return started, nil
}

// Await returns when the host has booted and takes logins.
func (l *Lab) Await(ctx context.Context, host string) error {
	h, err := l.Host(host)
	if err != nil {
		return err
	}
	return l.awaitHost(ctx, h)
}
