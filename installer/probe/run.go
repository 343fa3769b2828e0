package probe

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"time"

	"ipivs.com/valtctl/repos/sleep"
)

// Env is what the machine gives to whoever asks questions from it.
type Env struct {
	Now      func() time.Time
	Roots    *x509.CertPool // authorities for TLS; nil: the machine's own
	Resolver *net.Resolver  // nil: the machine's own, as Go reads it
	Root     string         // of files; empty: /
}

// Run asks every question at once, each from its Spec.After on, and hands over the
// outcomes as they come, one at a time. It ends at the latest a deadline after the last
// question's start. An error of outcome ends it; so does ctx, with its error. Otherwise
// every question has an outcome.
func Run(ctx context.Context, env Env, r Request, outcome func(Outcome) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w := newWatch(nil)
	defer w.close()
	var handing sync.Mutex
	hand := func(o Outcome) {
		handing.Lock()
		defer handing.Unlock()
		if ctx.Err() != nil {
			return
		}
		if err := outcome(o); err != nil {
			stop(fmt.Errorf("handing over the outcome of %s: %w", o.ID, err))
		}
	}
	start := env.Now()
	var asking sync.WaitGroup
	for _, s := range r.Specs {
		asking.Go(func() {
			if sleep.For(ctx, s.After) == nil {
				hand(one(ctx, env, &r, s, w, start.Add(s.After)))
			}
		})
	}
	asking.Wait()
	return context.Cause(ctx)
}

// one asks one question. Its time counts from when it was due, so that hundreds of them
// on a small machine do not wait for each other's beginnings.
func one(ctx context.Context, env Env, r *Request, s Spec, w *watch, due time.Time) Outcome {
	deadline := r.Deadline
	if deadline <= 0 {
		deadline = DefaultDeadline
	}
	began := env.Now()
	ctx, cancel := context.WithTimeout(ctx, deadline-began.Sub(due))
	defer cancel()
	o := Outcome{ID: s.ID}
	q := &question{env: env, req: r, spec: s, out: &o, watch: w}
	q.ask(ctx)
	o.Took = env.Now().Sub(began)
	return o
}

// ask chooses by what the question is asked over.
func (q *question) ask(ctx context.Context) {
	switch q.spec.Ask {
	case AskIKE:
		q.askIKE(ctx)
	case AskGRE, AskESP:
		q.askRaw(ctx)
	case AskDNS:
		q.askDNS(ctx)
	case AskNTP:
		q.askNTP(ctx)
	case AskBlob:
		q.askBlob(ctx)
	default:
		q.overTCP(ctx)
	}
}
