package cases

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/updater/simulated"
)

// Runs of a whole simulation and of a sample; each number is of one size of fleet.
const (
	simulatedRuns   = 10_000
	simulatedLarge  = 100 // of them, with 2,000 hosts
	simulatedSample = 300
)

// fleetSimulation puts rollouts through fleets on paper, with failures at random.
func fleetSimulation(ctx context.Context, e *Env) error {
	small, large := simulatedRuns-simulatedLarge, simulatedLarge
	if e.Sample {
		small, large = simulatedSample, 2
	}
	base := e.Random.Uint64() >> 16
	for _, size := range []struct{ hosts, runs int }{{50, small}, {2000, large}} {
		name := fmt.Sprintf("%d runs of %d hosts, seeds from %d", size.runs, size.hosts, base)
		if err := e.Timed(name, func() error { return simulate(ctx, base, size.hosts, size.runs) }); err != nil {
			return err
		}
	}
	e.Measure("budget or floor breached", "0 times; every host explained")
	return nil
}

func simulate(ctx context.Context, base uint64, hosts, runs int) error {
	var group errgroup.Group
	group.SetLimit(2)
	for i := range runs {
		group.Go(func() error { return simulated.Run(ctx, base+uint64(i), hosts) })
	}
	return group.Wait()
}
