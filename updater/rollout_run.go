package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/repos/problem"
)

// rolloutRun is a rollout under way. One goroutine decides; only the driver works beside it.
type rolloutRun struct {
	*Rollout
	waves []wave
	floor int
	ended chan hostEnd

	results []HostRecord // one a host; without an outcome: undecided
	serves  []bool       // as far as is known; of hosts in work too
	beside  []bool       // which of the hosts that are left alone serve
	engine  []bool       // it counts for the floor
	inWork  []bool
	inWave  []int
	started []time.Time
	working int

	begun    time.Time
	failures int
	halted   string // why no host is started any more
	// interrupted is why, where the controller was stopped.
	interrupted error
	errs        []error // of the record
}

func newRunning(r *Rollout) *rolloutRun {
	n := len(r.Hosts)
	x := &rolloutRun{Rollout: r, waves: r.waves(), floor: r.floor(), ended: make(chan hostEnd, n), results: make([]HostRecord, n),
		serves: make([]bool, n), engine: make([]bool, n), inWork: make([]bool, n), inWave: make([]int, n), started: make([]time.Time, n), begun: r.Now()}
	for i, h := range r.Hosts {
		x.results[i].Host, x.serves[i], x.engine[i] = h.Name, h.Serves, h.hasEngine()
	}
	for _, h := range r.Beside {
		x.beside = append(x.beside, h.Serves)
	}
	return x
}

// recordBegin records what is about to be done.
func (x *rolloutRun) recordBegin() {
	x.record(journal.Begin, "", x.report())
}

// adoptDone takes over what was done before.
func (x *rolloutRun) adoptDone() {
	for i, h := range x.Hosts {
		if d, ok := x.Done[h.Name]; ok && d.Outcome != NotStarted && d.Outcome != "" {
			x.inWave[i] = d.Wave
			x.conclude(i, d)
		}
	}
	if canary := x.waves[0].hosts[0]; x.results[canary].Outcome != "" {
		x.haltUnlessProven(canary)
	}
}

// haltUnlessProven halts the rollout unless the canary proved what it is there to prove.
func (x *rolloutRun) haltUnlessProven(i int) {
	if r := x.results[i]; !r.Outcome.good() {
		x.halt(fmt.Sprintf("the canary %s is %s, so nothing is proven: %s", r.Host, outcomeWord(r.Outcome), r.Reason))
	}
}

// haltUnlessNew halts the rollout where a host that had to be new first is not. A preference
// is no condition.
func (x *rolloutRun) haltUnlessNew(phase int) {
	if x.Either {
		return
	}
	for _, w := range x.waves {
		for _, i := range w.hosts {
			if r := x.results[i]; w.phase < phase && !r.Outcome.good() {
				x.halt(fmt.Sprintf("%s is %s, and the releases do not work beside each other in that order", r.Host, outcomeWord(r.Outcome)))
			}
		}
	}
}

// conclude writes down what a host has come to and draws the consequences.
func (x *rolloutRun) conclude(i int, r HostRecord) {
	r.Host = x.Hosts[i].Name
	r = explained(r)
	x.results[i] = r
	switch r.Outcome {
	case Updated:
		x.serves[i] = true
	case Failed, Quarantined, Running:
		x.serves[i] = false
	}
	x.record(recordEnd, r.Host, r)
	text := outcomeWord(r.Outcome)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	x.observe(event.Event{Kind: event.Done, Host: r.Host, Text: text})
	switch {
	case r.Outcome.failure():
		x.failures++
		if x.failures > x.Policy.MaxFailures {
			x.halt(fmt.Sprintf("%s failed, and %d may: the last one was %s (%s: %s)", hosts(x.failures), x.Policy.MaxFailures, r.Host, outcomeWord(r.Outcome), r.Reason))
		}
	case r.Outcome == Running && x.interrupted == nil:
		x.halt(fmt.Sprintf("what becomes of %s is not known yet: %s", r.Host, r.Reason))
	}
}

// explained gives a result the outcome and the reason that it lacks.
func explained(r HostRecord) HostRecord {
	switch r.Outcome {
	case Updated, Unchanged:
		return r
	case Skipped, RolledBack, Quarantined, Failed, Running, NotStarted:
	default:
		r.Reason = strings.TrimSpace(fmt.Sprintf("it is not known what it came to (%q) %s", r.Outcome, r.Reason))
		r.Outcome = Failed
	}
	if r.Reason == "" {
		r.Reason = "no reason was given"
		if r.Outcome == Running {
			r.Reason = "the host goes on by itself"
		}
	}
	return r
}

// stopped says that no host is to be started any more.
func (x *rolloutRun) stopped(ctx context.Context) bool {
	if ctx.Err() != nil && x.halted == "" {
		x.interrupted = context.Cause(ctx)
		x.halt("it was interrupted: " + flat(x.interrupted.Error()))
	}
	return x.halted != ""
}

// halt keeps the first reason.
func (x *rolloutRun) halt(why string) {
	if x.halted != "" {
		return
	}
	x.halted = why
	x.record(recordHalt, "", haltData{Reason: why})
	x.observe(event.Event{Kind: event.Halt, Text: why})
}

// record keeps what is said; where it cannot be kept nothing more is started.
func (x *rolloutRun) record(kind journal.Kind, host string, data any) bool {
	if x.Record == nil {
		return true
	}
	err := x.Record.Record(kind, host, data)
	if err == nil {
		return true
	}
	x.errs = append(x.errs, err)
	if x.halted == "" {
		x.halted = "what it does can no longer be recorded: " + flat(err.Error())
		x.observe(event.Event{Kind: event.Halt, Text: x.halted})
	}
	return false
}

func (x *rolloutRun) observe(e event.Event) {
	if x.Observer != nil {
		x.Observer.Observe(e)
	}
}

// serving counts the media hosts that serve and are not in work.
func (x *rolloutRun) serving() int {
	n := 0
	for i := range x.Hosts {
		if x.serves[i] && !x.inWork[i] && x.engine[i] {
			n++
		}
	}
	for i, h := range x.Beside {
		if x.beside[i] && h.hasEngine() {
			n++
		}
	}
	return n
}

// look takes over which hosts serve now. What a rollout has done to a host and could not bring
// to its end does not serve, whatever runs there.
func (x *rolloutRun) look(serving map[string]bool) {
	for i, h := range x.Hosts {
		switch x.results[i].Outcome {
		case Failed, Quarantined, Running:
		default:
			x.serves[i] = serving[h.Name]
		}
	}
	for i, h := range x.Beside {
		x.beside[i] = serving[h.Name]
	}
}

// breaksFloor says that too few media hosts would serve while this one is changed. One
// that does not serve takes nothing away.
func (x *rolloutRun) breaksFloor(i int) bool {
	return x.engine[i] && x.serves[i] && x.serving()-1 < x.floor
}

func (x *rolloutRun) unresolved(hosts []int) []int {
	return slices.DeleteFunc(slices.Clone(hosts), func(i int) bool { return x.results[i].Outcome != "" })
}

func (x *rolloutRun) names(hosts []int) string {
	all := make([]string, len(hosts))
	for at, i := range hosts {
		all[at] = x.Hosts[i].Name
	}
	return strings.Join(all, ", ")
}

// progress is how far the rollout is.
func (x *rolloutRun) progress(number int) string {
	var now []int
	over := 0
	for i := range x.Hosts {
		if x.inWork[i] {
			now = append(now, i)
		} else if x.results[i].Outcome != "" {
			over++
		}
	}
	return fmt.Sprintf("wave %d of %d, %d of %d hosts are over; in work: %s", number, len(x.waves), over, len(x.Hosts), x.names(now))
}

// report is what is known now.
func (x *rolloutRun) report() *Report {
	r := &Report{About: x.About, Started: x.begun, Halted: x.halted, Hosts: slices.Clone(x.results)}
	for _, w := range x.waves {
		names := make([]string, len(w.hosts))
		for at, i := range w.hosts {
			names[at] = x.Hosts[i].Name
		}
		r.Waves = append(r.Waves, names)
	}
	return r
}

// end explains the hosts that nothing was done with, and tells what went wrong.
func (x *rolloutRun) end() (*Report, error) {
	for i := range x.Hosts {
		if x.results[i].Outcome == "" {
			x.conclude(i, HostRecord{Outcome: NotStarted, Reason: x.halted})
		}
	}
	report := x.report()
	report.Ended = x.Now()
	x.record(journal.End, "", endData{Halted: x.halted})
	return report, errors.Join(x.outcomeErr(report), x.recordErr())
}

// outcomeErr is the report's error. One that a person stopped says so, and one that lost
// its lease is an error of that kind.
func (x *rolloutRun) outcomeErr(r *Report) error {
	if x.interrupted == nil {
		return r.Err()
	}
	p := r.halt()
	p.Err = fmt.Errorf("it was interrupted: %w", x.interrupted)
	switch kind := problem.KindOf(x.interrupted); {
	case errors.Is(x.interrupted, context.Canceled):
		p.Kind = problem.Interrupted
	case kind != problem.Failed:
		p.Kind = kind
	}
	return errors.Join(append([]error{p}, r.hostErrs()...)...)
}

func (x *rolloutRun) recordErr() error {
	if len(x.errs) == 0 {
		return nil
	}
	return &problem.Error{Kind: problem.Failed, Doing: "recording the rollout", Object: x.About.Run, Err: errors.Join(x.errs...),
		Fix: "make room where valtctl keeps its state, then valtctl resume"}
}

// good says that the host has what it should have.
func (o HostOutcome) good() bool { return o == Updated || o == Unchanged }

// failure says that the host counts against the budget.
func (o HostOutcome) failure() bool { return o == RolledBack || o == Quarantined || o == Failed }

// outcomeWord is an outcome in a sentence: "the canary media1 is …".
func outcomeWord(o HostOutcome) string {
	words := map[HostOutcome]string{Updated: "updated", Unchanged: "as it should be already", Skipped: "skipped", RolledBack: "back on what it had",
		Quarantined: "in quarantine", Failed: "failed", Running: "still in work", NotStarted: "not started", "": "not started"}
	return words[o]
}

func hosts(n int) string {
	if n == 1 {
		return "1 host"
	}
	return fmt.Sprintf("%d hosts", n)
}

// flat keeps a reason on one line.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }
