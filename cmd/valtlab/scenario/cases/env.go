// Package cases holds the acceptance cases: each does to the practice site what its name
// says, measures, and passes or says why not. The product is used as its users use it, by
// its command line; beside it cases ask the hosts themselves, and where no command line can
// tell (rollouts on paper, digests of bundles, the media engine's interface) they call the
// package that knows. How cases are chosen and run is the package scenario's business.
package cases

import (
	"context"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/scenario"
)

// Env is what a case works with.
type Env struct {
	scenario.Env
	shared *shared
}

// newEnv is the environment of a case that shares with no other.
func newEnv(e *scenario.Env) *Env { return &Env{*e, &shared{}} }

// shared is what the cases of one list need not find out twice.
type shared struct {
	baseline map[string]fingerprint // the site's hosts after an undisturbed installation
	// single is the one server, with the release before installed by itself, where it was
	// left to another case.
	single *lab.Host
}

// show is one of several things that a scenario shows, each from whatever is there.
type show struct {
	name string
	run  func(context.Context) error
}

// parts runs all of them, or in a sample one that the seed draws, and times each.
func (e *Env) parts(ctx context.Context, all ...show) error {
	if e.Sample {
		n := e.Random.IntN(len(all))
		all = all[n : n+1]
	}
	for _, p := range all {
		if err := e.Timed(p.name, func() error { return p.run(ctx) }); err != nil {
			return err
		}
	}
	return nil
}
