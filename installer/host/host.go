// Package host is the host's side of the calls between controller and agent: it gathers
// facts, has steps inspect, starts and follows transactions, reads logs, and asks the
// network. It is where the packages that know one thing each (facts, step, txn, probe)
// meet on a host. It decides nothing about a site; what is to be done comes from the
// controller as steps.
package host

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

// Side is one host as its agent works on it.
type Side struct {
	Kinds    step.Registry
	Launcher txn.Launcher
	Now      func() time.Time
	// Restricted says that whoever asks has the key of unattended runs.
	Restricted bool
}

// Handlers are the calls this host answers.
func (s *Side) Handlers() agent.Handlers {
	return agent.Handlers{
		Facts: s.facts, Inspect: s.inspect, TxnStart: s.start, TxnRestart: s.restart,
		TxnList: s.list, TxnFollow: s.follow, Logs: s.logs, Probe: s.probe, Listen: s.listen, Survey: s.survey,
		Answer: s.answer, TxnConfirm: s.confirm, Engine: s.engine, Lease: s.lease, Support: s.support, Solve: s.solve, Prove: s.prove, Revoke: s.revoke, Backups: s.backups,
	}
}

// machine is the host as steps see it, with the secrets of one call.
func (s *Side) machine(secrets map[string][]byte) *step.Machine {
	return &step.Machine{Root: s.Launcher.Root, Run: s.Launcher.Run, Now: s.Now, Secret: func(name string) ([]byte, error) {
		value, ok := secrets[name]
		if !ok {
			return nil, fmt.Errorf("the controller gave no secret %q", name)
		}
		return value, nil
	}}
}

// inspectors is how many steps look at the host at once. Looking is reading files and
// asking the engine; more at once gains nothing.
const inspectors = 8

// inspect has every step look at the host. A step that cannot look says so in its
// finding, so that all problems of a host are known at once.
func (s *Side) inspect(ctx context.Context, r agent.InspectRequest) (agent.InspectReply, error) {
	m := s.machine(r.Secrets)
	reply := agent.InspectReply{Findings: make([]agent.StepFinding, len(r.Steps))}
	var looking errgroup.Group
	looking.SetLimit(inspectors)
	for i, spec := range r.Steps {
		looking.Go(func() error {
			f := &reply.Findings[i]
			f.ID, f.Kind = spec.ID, spec.Kind
			made, err := s.Kinds.Make(spec)
			if err == nil {
				f.Finding, err = made.Inspect(ctx, m)
			}
			f.Problems = problem.Records(err)
			return nil
		})
	}
	err := looking.Wait()
	judgeSources(ctx, m, r.Steps, reply.Findings)
	return reply, err
}

// judgeSources adds to the first step that installs packages what stands in the way of all of them.
func judgeSources(ctx context.Context, m *step.Machine, steps []step.Spec, findings []agent.StepFinding) {
	n := slices.IndexFunc(steps, func(s step.Spec) bool { return s.Kind == apt.KindPackages || s.Kind == apt.KindDownload })
	if n < 0 {
		return
	}
	if err := apt.JudgeSources(ctx, m, steps); err != nil {
		findings[n].Problems = append(findings[n].Problems, problem.Records(err)...)
	}
}
