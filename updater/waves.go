package updater

import (
	"errors"
	"fmt"
	"slices"

	"ipivs.com/valtctl/installer/site"
)

// wave is hosts that go together, by their places in the rollout's list. Waves of a later
// phase may begin only once all hosts of the earlier ones have the new release.
type wave struct {
	phase int
	hosts []int
}

// waveSize is how many of n hosts go together: a share is rounded up, so that it is one
// host at least, and a number is never more than there are.
func waveSize(w site.Wave, n int) int {
	size := w.Hosts
	if w.Percent > 0 {
		size = (n*w.Percent + 99) / 100
	}
	return min(max(size, 1), max(n, 1))
}

// phaseOf places a host: media hosts before the application or after it. A host with both
// roles changes both at once, and goes where the application goes.
func phaseOf(h Host, mediaFirst bool) int {
	if h.ownTurn() == mediaFirst {
		return 1
	}
	return 0
}

// Waves tells for each host in which wave it goes, from 1, the canary's.
func (r *Rollout) Waves() map[string]int {
	of := map[string]int{}
	for i, w := range r.waves() {
		for _, h := range w.hosts {
			of[r.Hosts[h].Name] = i + 1
		}
	}
	return of
}

// waves is the whole rollout in order: the canary alone, then the rest in the list's order,
// those of a phase together. What the wave's size is a share of are all hosts.
func (r *Rollout) waves() []wave {
	if len(r.Hosts) == 0 {
		return nil
	}
	canary := r.canary()
	var phases [2][]int
	for i, h := range r.Hosts {
		if i != canary {
			p := phaseOf(h, r.MediaFirst)
			phases[p] = append(phases[p], i)
		}
	}
	all := []wave{{phase: phaseOf(r.Hosts[canary], r.MediaFirst), hosts: []int{canary}}}
	for phase, hosts := range phases {
		for chunk := range slices.Chunk(hosts, waveSize(r.Policy.Wave, len(r.Hosts))) {
			all = append(all, wave{phase: phase, hosts: chunk})
		}
	}
	return all
}

// canary is the host that goes first: the one that the site names, else the first media
// host, else the first host; where the order is a condition, of those that may go first.
func (r *Rollout) canary() int {
	first := func(fits func(Host) bool) int { return slices.IndexFunc(r.Hosts, fits) }
	phase := 1
	for _, h := range r.Hosts {
		phase = min(phase, phaseOf(h, r.MediaFirst))
	}
	allowed := func(h Host) bool { return r.Either || phaseOf(h, r.MediaFirst) == phase }
	for _, wanted := range []func(Host) bool{
		func(h Host) bool { return h.Name == r.Policy.Canary },
		Host.hasEngine,
		func(Host) bool { return true },
	} {
		if i := first(func(h Host) bool { return wanted(h) && allowed(h) }); i >= 0 {
			return i
		}
	}
	return 0
}

// floor is how many media hosts must serve throughout. The only one of a site could never
// be changed otherwise.
func (r *Rollout) floor() int {
	media := 0
	for _, h := range slices.Concat(r.Hosts, r.Beside) {
		if h.hasEngine() {
			media++
		}
	}
	if media <= 1 {
		return 0
	}
	return r.Policy.MinMediaServing
}

// validate refuses what no rollout could be made of.
func (r *Rollout) validate() error {
	if len(r.Hosts) == 0 {
		return errors.New("planning the rollout: it has no hosts")
	}
	seen := map[string]bool{}
	for _, h := range slices.Concat(r.Hosts, r.Beside) {
		if seen[h.Name] {
			return fmt.Errorf("planning the rollout: host %s is in it twice", h.Name)
		}
		seen[h.Name] = true
	}
	return nil
}
