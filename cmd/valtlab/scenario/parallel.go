package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// Parallel says what a scenario of a sample may run beside: most of them wait more than they
// compute.
type Parallel int

const (
	// Alone is one that measures times, scans, or changes what the vendor's servers say.
	Alone Parallel = iota
	// Shares is one that is in no hurry and works on the site's hosts.
	Shares
	// Apart is one that touches nothing but hosts and containers of its own: a sample runs
	// it beside those that share.
	Apart
)

// inParallel runs scenarios in order, in a sample those that are apart beside those that
// share, and hands over each one's verdict. What ran beside another is printed once that
// one is over.
func inParallel(ctx context.Context, all []Scenario, l *lab.Lab, o Options, verdict func(Scenario, bool) error) error {
	var row, beside []Scenario
	for _, s := range all {
		if o.Sample && s.Parallel == Apart {
			beside = append(beside, s)
		} else {
			row = append(row, s)
		}
	}
	ctx, stop := context.WithCancel(ctx)
	g := &guests{room: make(chan struct{}, 1), over: make(chan *guest, len(beside))}
	g.all.Go(func() { g.run(ctx, beside, l, o) })
	defer func() {
		stop()
		g.let(true)
		g.all.Wait()
	}()
	for _, s := range row {
		if err := interrupted(ctx); err != nil {
			return err
		}
		g.let(s.Parallel == Shares)
		if err := errors.Join(verdict(s, Run(ctx, s, l, o)), g.tell(o, verdict)); err != nil {
			return err
		}
	}
	g.let(true)
	g.all.Wait()
	return errors.Join(g.tell(o, verdict), interrupted(ctx))
}

func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("running the scenarios: %w; with --resume they go on", ctx.Err())
}

// guest is a scenario that ran beside others, with what it printed.
type guest struct {
	scenario Scenario
	passed   bool
	said     bytes.Buffer
}

// guests run one after the other, while there is room for one.
type guests struct {
	room chan struct{} // holds the one place while it is free
	has  bool          // whether they are let in
	all  sync.WaitGroup
	over chan *guest // takes all without waiting
}

// let makes room for guests, or sees that none is there and none comes.
func (g *guests) let(in bool) {
	if in == g.has {
		return
	}
	if g.has = in; in {
		g.room <- struct{}{}
	} else {
		<-g.room
	}
}

func (g *guests) run(ctx context.Context, all []Scenario, l *lab.Lab, o Options) {
	for _, s := range all {
		<-g.room
		if ctx.Err() == nil {
			one := &guest{scenario: s}
			o.Out = &one.said
			one.passed = Run(ctx, s, l, o)
			g.over <- one
		}
		g.room <- struct{}{}
	}
}

// tell prints what the guests said that are over, and hands over their verdicts.
func (g *guests) tell(o Options, verdict func(Scenario, bool) error) error {
	var errs []error
	for {
		select {
		case one := <-g.over:
			_, err := one.said.WriteTo(o.Out)
			errs = append(errs, err, verdict(one.scenario, one.passed))
		default:
			return errors.Join(errs...)
		}
	}
}
