package check

import (
	"maps"
	"path"
	"slices"
	"testing"
)

// oddities are those of every table of this package's tests but what ends.
func oddities(t *testing.T) []oddity {
	t.Helper()
	var all []oddity
	for _, table := range []map[string]oddity{
		machineOddities(), diskOddities(), packageOddities(), siteOddities(t), portOddities(), networkOddities(),
		clockOddities(), nameOddities(), vendorClockOddities(), todayOddities(),
	} {
		all = slices.AppendSeq(all, maps.Values(table))
	}
	for _, one := range updateOddities() {
		all = append(all, one.odd)
	}
	return all
}

// A check that is only ever seen to pass may look at nothing. Unknown is enough for what
// only tells, such as how much an update has to fetch.
func TestEveryCheckIsSeenToFindSomething(t *testing.T) {
	finds := map[string]bool{}
	for _, odd := range oddities(t) {
		if odd.status != Pass {
			finds[path.Base(odd.id)] = true
		}
	}
	for _, c := range slices.Concat(siteChecks(), hostChecks(), updateChecks()) {
		if !finds[c.name] {
			t.Errorf("no case shows the check %q finding anything: add one that fails or warns to a table of oddities of installer/check/*_test.go (a table of its own is listed in complete_test.go)", c.name)
			finds[c.name] = true // a check may stand in two lists
		}
	}
}
