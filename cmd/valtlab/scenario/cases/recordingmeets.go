package cases

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/repos/sleep"
)

// meeting is what meets the hosts of one command in their turns.
type meeting struct {
	*race
	seen   map[string]bool // hosts whose turn has begun
	beside sync.WaitGroup
	errs   []error
}

// begins has what meets a host begin with its turn.
func (m *meeting) begins(ctx context.Context, host string) {
	if m.seen[host] {
		return
	}
	m.seen[host] = true
	if h := m.host(host); h != nil {
		m.meet(func(moments []tryAt) error { return m.tries(ctx, *h, moments) })
	}
	if host == "app1" && m.how == "application" {
		for _, h := range m.media {
			m.meet(func(moments []tryAt) error { return m.tries(ctx, h, moments) })
		}
	}
	if m.how == "lost link" {
		hosts := append([]string{"app1"}, host) // the application keeps the lease
		lost, after := hosts[m.env.Random.IntN(len(hosts))], m.moment()
		m.meet(func([]tryAt) error {
			if err := sleep.For(ctx, after); err != nil {
				return err
			}
			return m.env.loseLink(ctx, lost)
		})
	}
}

// meet draws moments, and does something at them beside the command.
func (m *meeting) meet(do func([]tryAt) error) {
	moments := make([]tryAt, raceTries)
	for i := range moments {
		moments[i] = tryAt{m.moment(), time.Duration(m.env.Random.Int64N(int64(raceRecords)))}
	}
	m.beside.Go(func() {
		if err := do(moments); err != nil {
			m.mu.Lock()
			m.errs = append(m.errs, err)
			m.mu.Unlock()
		}
	})
}

// moment is when a recording begins, after a host's turn has. The gate closes after one to
// three seconds, so every other attempt is drawn around that.
func (r *race) moment() time.Duration {
	span := 6_000
	if r.env.Random.IntN(2) == 0 {
		span = 3_000
	}
	return time.Duration(r.env.Random.IntN(span)) * time.Millisecond
}

func (r *race) host(name string) *lab.Host {
	for i := range r.media {
		if r.media[i].Name == name {
			return &r.media[i]
		}
	}
	return nil
}

// tryAt is when a recording begins, since the one before ended, and how long it goes on.
type tryAt struct{ after, lasts time.Duration }

// tries begins recordings on one host, one after the other.
func (r *race) tries(ctx context.Context, media lab.Host, all []tryAt) error {
	desk, err := r.env.desk(ctx, "app1", media)
	if err != nil {
		return err
	}
	names, err := desk.streams(ctx) // over the connection that the recording is then begun on
	if err != nil {
		return err
	}
	for _, at := range all {
		if err := r.attempt(ctx, desk, names[0], at); err != nil {
			return err
		}
	}
	return nil
}

// attempt begins a recording from the application's address after a while. Whether the
// host lets it is its own business; one that it has accepted must come to its end.
func (r *race) attempt(ctx context.Context, desk *desk, stream string, at tryAt) error {
	if err := sleep.For(ctx, at.after); err != nil {
		return err
	}
	app, err := r.askApplication(ctx)
	if err == nil {
		err = desk.record(ctx, stream)
	}
	r.mu.Lock()
	r.attempts++
	if err != nil {
		r.refused++
	} else {
		r.recorded++
	}
	r.mu.Unlock()
	if err != nil {
		return nil
	}
	if err := sleep.For(ctx, at.lasts); err != nil {
		return err
	}
	if now, err := r.application(ctx); err != nil || now != app {
		return fmt.Errorf("the application was changed from %q to %q while %s recorded: %w", app, now, desk.host, err)
	}
	return r.stopAtLast(ctx, desk, stream)
}

// askApplication is a person who asks the application for a recording: it must serve, and let
// people in. It says which container did.
func (r *race) askApplication(ctx context.Context) (string, error) {
	if r.how != "application" {
		return "", nil // it is not changed, and the desk speaks for it
	}
	id, err := r.application(ctx)
	if err != nil {
		return "", err
	}
	person := poller(func(ctx context.Context, address string) (net.Conn, error) {
		return r.env.Lab.Dial(ctx, "client", address)
	}, nil)
	if !getsAnswer(ctx, person, "https://"+r.env.Lab.App().String()+"/") {
		return "", errors.New("the application lets nobody in")
	}
	return id, nil
}

// application is the container that is the application now.
func (r *race) application(ctx context.Context) (string, error) {
	if r.how != "application" {
		return "", nil
	}
	return r.env.Lab.Output(ctx, "app1", "docker", "inspect", "--format", "{{.Id}}", "valt-web")
}

// stopAtLast ends a recording. While the host takes two readings it lets nobody in, and
// then sees the recording and lets its owner in again.
func (r *race) stopAtLast(ctx context.Context, desk *desk, stream string) error {
	var err error
	for start := r.env.Now(); r.env.Now().Sub(start) < hostWithin; {
		if err = desk.stop(ctx, stream); err == nil || strings.Contains(err.Error(), "404") {
			return nil // 404: it ended with its stream; a cut one is found among the lost
		}
		if err := sleep.For(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the recording could not be ended: %w", err)
}
