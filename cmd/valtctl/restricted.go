package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/host"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/restrict"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
	"ipivs.com/valtctl/updater/drain"
)

// restricted are the calls that the key of unattended runs may make on this host, once its
// login has asked for nothing but this agent (sshd(8), SSH_ORIGINAL_COMMAND), and for as long as the
// host takes that key (facts.KeyID).
func (a *app) restricted(key string) func(context.Context, *host.Side) (agent.Handlers, error) {
	return func(ctx context.Context, side *host.Side) (agent.Handlers, error) {
		if asked := os.Getenv("SSH_ORIGINAL_COMMAND"); asked != remote.RestrictedCommand {
			return agent.Handlers{}, &problem.Error{Kind: problem.Trust, Doing: "refusing", Object: fmt.Sprintf("%.80q", asked),
				Err: errors.New("this key starts valtctl's restricted agent and nothing else"), Fix: "a person logs in with a key of their own"}
		}
		still := func() error { return side.Accepts(key) }
		if err := still(); err != nil {
			return agent.Handlers{}, err
		}
		h, err := a.judged(ctx, side)
		h.Still = still
		return h, err
	}
}

// judged are the host's calls as it judges them by its own copy of the site.
func (a *app) judged(ctx context.Context, side *host.Side) (agent.Handlers, error) {
	side.Restricted = true
	all := side.Handlers()
	is, err := all.Facts(ctx, agent.FactsRequest{})
	if err != nil {
		return agent.Handlers{}, err
	}
	folder := filepath.Join(a.hostRoot, facts.Restricted)
	own, err := restrict.OpenLocalPlan(folder, a.now, is.Facts, is.TrustedState)
	if err != nil {
		return agent.Handlers{}, err
	}
	judge := &restrict.Judge{Own: ownPlan{own}, Dir: filepath.Join(folder, "begun"), Fence: side.Highest, Unfinished: side.Unfinished}
	return judge.Handlers(all), nil
}

// ownPlan is a host's own view of its site as the judge asks for it.
type ownPlan struct{ *restrict.LocalPlan }

// Plan is what the host would do for a release, with the drain that the rollout puts before it.
func (o ownPlan) Plan(ctx context.Context, version string) (*restrict.Plan, error) {
	t, err := o.LocalPlan.Plan(ctx, version)
	if err != nil {
		return nil, err
	}
	drain := func(within string) (step.Spec, error) {
		var d time.Duration
		if within != "" {
			var err error
			if d, err = time.ParseDuration(within); err != nil || d <= 0 || d > updater.DefaultDrain {
				return step.Spec{}, &problem.Error{Kind: problem.Trust, Doing: "refusing", Object: "a drain of " + within,
					Err: fmt.Errorf("sessions are kept out unattended for %s at most", updater.DefaultDrain)}
			}
		}
		s, self := o.About()
		params, err := drain.For(s, self, t.Manifest, d, false)
		if err != nil {
			return step.Spec{}, err
		}
		return updater.DrainSpec(params)
	}
	return &restrict.Plan{Manifest: t.Manifest, Plan: t.Plan, Drain: drain, State: o.State()}, nil
}
