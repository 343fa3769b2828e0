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
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/host"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/restrict"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
	"ipivs.com/valtctl/updater/drain"
	"ipivs.com/valtctl/updater/schedule"
	"ipivs.com/valtctl/updater/window"
)

// restricted are the calls that the key of unattended runs may make on this host, once its
// login has asked for nothing but this agent (sshd(8), SSH_ORIGINAL_COMMAND). given says that the
// windows are judged ahead of the host's clock, for practice.
func (a *app) restricted(ctx context.Context, side *host.Side, ahead time.Duration, given bool) (agent.Handlers, error) {
	folder := filepath.Join(a.hostRoot, facts.Restricted)
	record := keyuse.File{Dir: folder, Now: a.now, Who: restrict.Who("this site")}
	if asked := os.Getenv("SSH_ORIGINAL_COMMAND"); asked != remote.RestrictedCommand {
		return agent.Handlers{}, errors.Join(&problem.Error{Kind: problem.Trust, Doing: "refusing", Object: fmt.Sprintf("%.80q", asked),
			Err: errors.New("this key starts valtctl's restricted agent and nothing else"), Fix: "a person logs in with a key of their own"},
			record.Note(keyuse.Use{Call: keyuse.Login, Refused: keyuse.Foreign, Text: fmt.Sprintf("%.80q", asked)}))
	}
	all := side.Handlers()
	is, err := all.Facts(ctx, agent.FactsRequest{})
	if err != nil {
		return agent.Handlers{}, err
	}
	own, err := restrict.OpenLocalPlan(restrict.LocalOptions{Folder: folder, Now: a.now, Facts: is.Facts, Seen: is.TrustedState, Phased: schedule.Phased})
	if err != nil {
		return agent.Handlers{}, err
	}
	s, _ := own.About()
	windows, err := window.Of(s.Updates)
	if err != nil {
		return agent.Handlers{}, err
	}
	home := fleet.LeaseHost(s).Name
	record.Who = restrict.Who(home)
	judge := &restrict.Judge{Own: ownPlan{own}, Hours: hours{windows}, Clock: restrict.Clock{Now: a.now, Ahead: ahead, Given: given}, Home: home,
		Fence: side.Highest, Transactions: func() ([]txn.Summary, error) { return side.Launcher.Store.List(0) }, Record: record}
	return judge.Handlers(all), nil
}

// hours are the site's maintenance windows as the judge asks for them.
type hours struct{ windows window.Schedule }

func (h hours) Window(now time.Time) (open, closes time.Time, ok bool) {
	span, ok := h.windows.Around(now)
	return span.Open, span.Close, ok
}

func (h hours) Ahead(now time.Time) bool { return schedule.Ahead(h.windows, now) }

func (h hours) Next(now time.Time) string {
	open, ok := h.windows.Next(now)
	if !ok {
		return "no other one follows"
	}
	return "the next one opens on " + schedule.When(h.windows, open)
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
	return &restrict.Plan{Manifest: t.Manifest, Plan: t.Plan, Digest: t.Digest, Drain: drain, DrainMost: updater.DefaultDrain, State: o.State(),
		Offered: func(ctx context.Context, has string, ahead bool) error { return o.Offered(ctx, has, version, ahead) }}, nil
}
