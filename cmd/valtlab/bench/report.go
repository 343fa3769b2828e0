package bench

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// speed is what both tools took, run by run, and how much they looked at.
type speed struct {
	ansible, valtctl []time.Duration
	tasks, steps     map[string]int // by host
}

// ratio is how many times the other tool's median is ours.
func (s speed) ratio() float64 { return median(s.ansible).Seconds() / median(s.valtctl).Seconds() }

// median is the middle, or the mean of the two in the middle.
func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// verdict tells what does not hold, all of it.
func verdict(s speed, f far) error {
	var errs []error
	if r := s.ratio(); r < wantRatio {
		errs = append(errs, fmt.Errorf("an install that changes nothing is %.1f times as fast as the playbook, not %d", r, wantRatio))
	}
	for _, host := range slices.Sorted(maps.Keys(f.trips)) {
		if n := f.trips[host]; n > wantTrips {
			errs = append(errs, fmt.Errorf("it takes %d round trips to %s, more than %d", n, host, wantTrips))
		}
	}
	return errors.Join(errs...)
}

func writeReport(w io.Writer, s speed, f far) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "nothing to change\thosts\tlooked at\truns\tbest\tmedian\n")
	row := func(name string, count map[string]int, unit string, took []time.Duration) {
		fmt.Fprintf(table, "%s\t%d\t%d %s\t%d\t%.3f s\t%.3f s\n", name, len(count), total(count), unit, len(took), slices.Min(took).Seconds(), median(took).Seconds())
	}
	row("ansible-playbook", s.tasks, "tasks", s.ansible)
	row("valtctl install", s.steps, "steps", s.valtctl)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the measurement: %w", err)
	}
	if _, err := fmt.Fprintf(w, "ratio of the medians: %.1f (wanted: %d or more)\n\nat %d ms a round trip: %.3f s\n",
		s.ratio(), wantRatio, 2*oneWay.Milliseconds(), f.took.Seconds()); err != nil {
		return fmt.Errorf("printing the measurement: %w", err)
	}
	for _, host := range slices.Sorted(maps.Keys(f.trips)) {
		if _, err := fmt.Fprintf(w, "round trips to %s, connection included: %d (wanted: %d or fewer)\n", host, f.trips[host], wantTrips); err != nil {
			return fmt.Errorf("printing the measurement: %w", err)
		}
	}
	return nil
}

func total(count map[string]int) int {
	sum := 0
	for _, n := range count {
		sum += n
	}
	return sum
}
