package updater

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/journal"
)

// Rollout brings hosts to something new: it decides who goes when and when to stop, and
// Driver does the work. Hosts are in the site file's order. Driver and Now are needed.
type Rollout struct {
	About  About // for the report
	Hosts  []Host
	Beside []Host // the site's other hosts: they are left alone, and count for the floor
	Policy Policy
	// MediaFirst: media hosts go before the application, else after it. Unless Either, the
	// releases work beside each other in that order only: what comes second is not begun
	// before all that comes first is new.
	MediaFirst bool
	Either     bool

	Driver   Driver
	Observer event.Observer // nil: nobody looks
	Record   RunLog         // nil: nothing is kept
	Now      func() time.Time
	// Fits says why a host may not be started at a time; nil: there are no windows.
	Fits func(host string, now time.Time) error
	// Serving tells again which hosts serve, before one that counts for the floor is started;
	// a host that it does not name cannot be asked, and does not count. nil: what was known when
	// the rollout began counts.
	Serving func(ctx context.Context) map[string]bool
	// AtOnce is how many hosts fetch at a time; 0: fleet.DefaultLimit.
	AtOnce int
	// Done is what an earlier controller's part of this rollout came to. Those hosts are
	// not run again; they count in the budget and stand in the report.
	Done map[string]HostRecord
}

// RunLog keeps what a rollout does. What is about to be done is on the disk before it
// is done: a host whose start cannot be recorded is not started.
type RunLog interface {
	Record(kind journal.Kind, host string, data any) error
}

// Run does the rollout. The report explains every host, also when there is an error; the
// error is nil where all of them are new. Once ctx ends no host is started, and those in
// work go on by themselves.
func (r *Rollout) Run(ctx context.Context) (*Report, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	x := newRunning(r)
	x.recordBegin()
	x.adoptDone()
	x.stage(ctx)
	phase := 0
	for i, w := range x.waves {
		if w.phase > phase {
			x.haltUnlessNew(w.phase)
			phase = w.phase
		}
		x.wave(ctx, i+1, w)
		if i == 0 {
			x.haltUnlessProven(w.hosts[0])
		}
	}
	return x.end()
}

// stage has every host fetch, before anything that serves is touched.
func (x *rolloutRun) stage(ctx context.Context) {
	if x.stopped(ctx) {
		return
	}
	x.observe(event.Event{Kind: event.Note, Text: "every host fetches what it lacks; nothing that serves is touched"})
	errs := make([]error, len(x.Hosts))
	var g errgroup.Group
	g.SetLimit(x.fetching())
	for i, h := range x.Hosts {
		if x.results[i].Outcome != "" {
			continue
		}
		g.Go(func() error {
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = x.Driver.Stage(ctx, h.Name)
			}
			return nil
		})
	}
	_ = g.Wait() // each host's error is its own
	if x.stopped(ctx) {
		return
	}
	for i, err := range errs {
		if err != nil {
			x.conclude(i, HostRecord{Outcome: Failed, Reason: "fetching ahead of time: " + flat(err.Error())})
		}
	}
}

func (r *Rollout) fetching() int { return fleet.Options{Limit: r.AtOnce}.AtOnce() }

// wave brings the hosts of one wave to the end of what can be done with them.
func (x *rolloutRun) wave(ctx context.Context, number int, w wave) {
	left := x.unresolved(w.hosts)
	if len(left) > 0 && !x.stopped(ctx) {
		x.observe(event.Event{Kind: event.Wave, Text: fmt.Sprintf("wave %d of %d: %s", number, len(x.waves), x.names(left)),
			Index: number, Count: len(x.waves)})
	}
	for {
		left = x.startThose(ctx, number, left)
		if x.working == 0 {
			break
		}
		x.observe(event.Event{Kind: event.Progress, Text: x.progress(number), Index: number, Count: len(x.waves)})
		x.finishHost(ctx, <-x.ended)
	}
	if len(left) > 0 && !x.stopped(ctx) {
		x.halt(fmt.Sprintf("to start %s would leave fewer than %d media hosts serving; %d serve now", x.names(left[:1]), x.floor, x.serving()))
	}
}

// startThose starts what may be started now, and returns the hosts that must wait.
func (x *rolloutRun) startThose(ctx context.Context, number int, hosts []int) (wait []int) {
	if len(hosts) > 0 && x.floor > 0 && x.Serving != nil && !x.stopped(ctx) {
		x.look(x.Serving(ctx))
	}
	for at, i := range hosts {
		if x.stopped(ctx) {
			return hosts[at:]
		}
		if x.breaksFloor(i) {
			wait = append(wait, i)
			continue
		}
		if x.Fits != nil {
			if err := x.Fits(x.Hosts[i].Name, x.Now()); err != nil {
				x.conclude(i, HostRecord{Outcome: NotStarted, Reason: flat(err.Error())})
				continue
			}
		}
		x.start(ctx, number, i)
	}
	return wait
}

// start has the driver work on a host.
func (x *rolloutRun) start(ctx context.Context, number, i int) {
	name := x.Hosts[i].Name
	if !x.record(recordStart, name, startData{Wave: number}) {
		return
	}
	x.started[i], x.inWave[i], x.inWork[i] = x.Now(), number, true
	x.working++
	x.observe(event.Event{Kind: event.Begin, Host: name, Text: fmt.Sprintf("wave %d begins", number)})
	go func() { x.ended <- hostEnd{i, x.Driver.Update(ctx, name)} }()
}

// finishHost notes what a host that was in work has come to.
func (x *rolloutRun) finishHost(ctx context.Context, e hostEnd) {
	x.stopped(ctx) // an interrupted host is no surprise then
	x.working--
	x.inWork[e.host] = false
	result := e.result
	result.Wave = x.inWave[e.host]
	if result.Started.IsZero() {
		result.Started = x.started[e.host]
	}
	if result.Ended.IsZero() && result.Outcome != Running {
		result.Ended = x.Now()
	}
	x.conclude(e.host, result)
}

// hostEnd is how the work on a host ended.
type hostEnd struct {
	host   int
	result HostRecord
}
