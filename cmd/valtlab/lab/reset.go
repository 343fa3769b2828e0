package lab

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

// Reset makes hosts bare again: the container and its volumes made new, with the same
// address and host keys. All of them are named: what runs beside others must not take
// theirs away.
func (l *Lab) Reset(ctx context.Context, names ...string) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	hosts, err := l.named(names)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, h := range hosts {
		group.Go(func() error {
			return l.Stage(ctx, "host "+h.Name, func(ctx context.Context) error { return l.resetHost(ctx, h) })
		})
	}
	return group.Wait()
}

func (l *Lab) resetHost(ctx context.Context, h Host) error {
	image, err := l.Image(ctx, hostRecipe(h.release()))
	if err != nil {
		return err
	}
	m, err := l.hostMachine(ctx, h, image)
	if err != nil {
		return err
	}
	if err := l.make(ctx, m); err != nil {
		return err
	}
	if err := l.rejoin(ctx, h); err != nil {
		return err
	}
	return l.awaitHost(ctx, h)
}

// named are the hosts of those names.
func (l *Lab) named(names []string) ([]Host, error) {
	if len(names) == 0 {
		return nil, errors.New("no host is named")
	}
	var hosts []Host
	for _, name := range names {
		h, err := l.Host(name)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// rejoin puts a jump host that was made new onto the networks behind it again.
func (l *Lab) rejoin(ctx context.Context, jump Host) error {
	hosts, err := l.Hosts()
	if err != nil {
		return err
	}
	for _, h := range hosts {
		if h.Behind == jump.Name {
			return l.ensureBehind(ctx, h)
		}
	}
	return nil
}

// removeUnlisted removes hosts that were in the old list and are not in the new one.
func (l *Lab) removeUnlisted(ctx context.Context, old, now []Host) error {
	listed := map[string]bool{}
	for _, h := range now {
		listed[h.Name] = true
	}
	for _, h := range old {
		if !listed[h.Name] {
			if err := l.removeHost(ctx, h); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Lab) removeHost(ctx context.Context, h Host) error {
	if err := l.engine.Remove(ctx, l.Container(h.Name)); err != nil {
		return err
	}
	return l.engine.RemoveVolume(ctx, l.Container(h.Name)+"-recordings")
}
