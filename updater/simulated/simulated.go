// Package simulated puts rollouts through fleets that exist on paper: hosts that fail at
// random in every way that a real one can. Its judge shares nothing with the rollout's own
// arithmetic, and watches every start and end.
package simulated

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/updater"
)

// Run rolls something over a fleet of n hosts that the seed makes up, and says what the
// rollout did that it must not. The same seed makes the same fleet, policy and failures;
// in which order hosts end within a wave is left to the scheduler.
func Run(ctx context.Context, seed uint64, n int) error {
	f := newFleet(seed, n)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.cancel = cancel
	mediaFirst, either := f.random.IntN(2) == 0, f.random.IntN(2) == 0
	for _, h := range f.hosts { // a canary of the role that must go second is second
		f.canaryFirst = f.canaryFirst || h.Name == f.policy.Canary && (either || slices.Contains(h.Roles, site.Media) == mediaFirst)
	}
	r := &updater.Rollout{
		About: updater.About{Run: fmt.Sprint(seed), Kind: updater.KindUpdate, Site: "paper", From: "1", To: "2", Who: "simulation"},
		Hosts: f.hosts, Policy: f.policy, MediaFirst: mediaFirst, Either: either, Driver: f,
		Record: f, Now: func() time.Time { return time.Unix(0, 0) },
	}
	report, _ := r.Run(ctx) // that it halted is what the simulation is for
	if report == nil {
		return fmt.Errorf("simulating seed %d with %d hosts: it refused the fleet", seed, n)
	}
	f.explained(report)
	if err := errors.Join(f.wrong...); err != nil {
		return fmt.Errorf("simulating seed %d with %d hosts (%+v): %w", seed, n, f.policy, err)
	}
	return nil
}

// fleet is the hosts, what will become of each, and the judge.
type fleet struct {
	hosts   []updater.Host
	policy  updater.Policy
	ends    map[string]updater.HostOutcome
	unstage map[string]bool
	after   int // starts after which the controller is stopped; 0: never
	cancel  context.CancelFunc

	canaryFirst bool // nothing goes before the canary

	mu      sync.Mutex
	random  *rand.Rand
	started map[string]int
	working map[string]bool
	serves  map[string]bool
	failed  int
	ended   int
	floor   int
	wrong   []error
}

func newFleet(seed uint64, n int) *fleet {
	f := &fleet{random: rand.New(rand.NewPCG(seed, uint64(n))), ends: map[string]updater.HostOutcome{}, unstage: map[string]bool{},
		started: map[string]int{}, working: map[string]bool{}, serves: map[string]bool{}}
	rate := f.random.Float64() * f.random.Float64() * 0.5 // from fleets where nothing fails to half of it
	media := 0
	for i := range n {
		h := updater.Host{Name: fmt.Sprintf("host%04d", i), Roles: []site.Role{site.Media}, Serves: f.random.Float64() > rate/4}
		if i == 0 && f.random.IntN(4) > 0 {
			h.Roles = []site.Role{site.App}
		} else {
			media++
			f.serves[h.Name] = h.Serves
		}
		f.hosts = append(f.hosts, h)
		f.ends[h.Name] = f.end(rate)
		f.unstage[h.Name] = f.random.Float64() < rate/20
	}
	f.draw(n, media)
	return f
}

// end is what becomes of a host.
func (f *fleet) end(rate float64) updater.HostOutcome {
	if f.random.Float64() >= rate {
		return updater.Updated
	}
	all := []updater.HostOutcome{updater.RolledBack, updater.RolledBack, updater.Quarantined, updater.Failed, updater.Skipped, updater.Skipped, updater.Unchanged}
	return all[f.random.IntN(len(all))]
}

// draw makes up the policy.
func (f *fleet) draw(n, media int) {
	f.policy.Wave = site.Wave{Percent: 1 + f.random.IntN(100)}
	if f.random.IntN(3) == 0 {
		f.policy.Wave = site.Wave{Hosts: 1 + f.random.IntN(n)}
	}
	f.policy.MaxFailures = f.random.IntN(4)
	if f.random.IntN(2) == 0 {
		f.policy.MaxFailures = 0
	}
	f.policy.MinMediaServing = f.random.IntN(media)
	f.floor = f.policy.MinMediaServing
	if media == 1 {
		f.floor = 0
	}
	if f.random.IntN(2) == 0 {
		f.policy.Canary = f.hosts[f.random.IntN(n)].Name
	}
	if f.random.IntN(10) == 0 {
		f.after = 1 + f.random.IntN(n)
	}
}

// Stage fetches, or cannot.
func (f *fleet) Stage(_ context.Context, host string) error {
	if f.unstage[host] {
		return errors.New("no route to host")
	}
	return nil
}

// Update changes a host, or whatever the seed has in store for it.
func (f *fleet) Update(ctx context.Context, host string) updater.HostRecord {
	f.mu.Lock()
	turns := f.random.IntN(6)
	f.mu.Unlock()
	for range turns {
		runtime.Gosched()
	}
	end := f.ends[host]
	if ctx.Err() != nil {
		end = updater.Running
	}
	return updater.HostRecord{Host: host, Outcome: end, Reason: "as the seed has it"}
}

// Record is where the judge sits: what the rollout begins it records before, and what it
// has learnt of an end it records before it goes on.
func (f *fleet) Record(kind journal.Kind, host string, data any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if end, ok := data.(updater.HostRecord); ok {
		f.finish(host, end.Outcome)
	} else if kind == "host-start" {
		f.checkStart(host)
	}
	return nil
}

// checkStart judges a start.
func (f *fleet) checkStart(host string) {
	no := func(format string, args ...any) {
		f.wrong = append(f.wrong, fmt.Errorf(host+": "+format, args...))
	}
	if f.failed > f.policy.MaxFailures {
		no("started after %d failures, and %d may be", f.failed, f.policy.MaxFailures)
	}
	if f.started[host]++; f.started[host] > 1 {
		no("started %d times", f.started[host])
	}
	if len(f.started) > 1 && f.ended == 0 {
		no("started beside the canary")
	}
	if len(f.started) == 1 && f.canaryFirst && host != f.policy.Canary {
		no("started before the canary %s", f.policy.Canary)
	}
	f.working[host] = true
	if f.serves[host] { // it serves no more now: is that still enough?
		left := 0
		for name, serves := range f.serves {
			if serves && !f.working[name] {
				left++
			}
		}
		if left < f.floor {
			no("started while only %d others serve; the floor is %d", left, f.floor)
		}
	}
	if f.after > 0 && len(f.started) == f.after {
		f.cancel()
	}
}

// finish takes note of an end.
func (f *fleet) finish(host string, end updater.HostOutcome) {
	if f.working[host] {
		delete(f.working, host)
		f.ended++
	}
	_, media := f.serves[host]
	switch end {
	case updater.Updated:
		if media {
			f.serves[host] = true
		}
	case updater.RolledBack:
		f.failed++
	case updater.Quarantined, updater.Failed:
		f.failed++
		if media {
			f.serves[host] = false
		}
	}
}

// explained wants every host to have come to something, with a reason.
func (f *fleet) explained(r *updater.Report) {
	if len(r.Hosts) != len(f.hosts) {
		f.wrong = append(f.wrong, fmt.Errorf("%d of %d hosts are in the report", len(r.Hosts), len(f.hosts)))
	}
	for _, h := range r.Hosts {
		good := h.Outcome == updater.Updated || h.Outcome == updater.Unchanged
		switch {
		case h.Outcome == "", !good && h.Reason == "":
			f.wrong = append(f.wrong, fmt.Errorf("%s is not explained: %+v", h.Host, h))
		case !f.unstage[h.Host] && (h.Outcome == updater.NotStarted) == (f.started[h.Host] > 0):
			f.wrong = append(f.wrong, fmt.Errorf("%s is reported as %s, and was started %d times", h.Host, h.Outcome, f.started[h.Host]))
		}
	}
	slices.SortFunc(f.wrong, func(a, b error) int { return len(a.Error()) - len(b.Error()) })
}
