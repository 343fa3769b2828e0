package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/host"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/restrict"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater/schedule"
)

// restricted are the calls that the key of unattended runs may make on this host, once its
// login has asked for nothing but this agent (sshd(8), SSH_ORIGINAL_COMMAND), and for as long as the
// host takes that key (facts.KeyID).
func (a *app) restricted(key string, clock restrict.Clock) func(context.Context, *host.Side) (agent.Handlers, error) {
	return func(ctx context.Context, side *host.Side) (agent.Handlers, error) {
		if asked := os.Getenv("SSH_ORIGINAL_COMMAND"); asked != remote.RestrictedCommand {
			return agent.Handlers{}, a.refuseLogin(asked)
		}
		still := func() error { return side.Accepts(key) }
		if err := still(); err != nil {
			return agent.Handlers{}, err
		}
		h, err := a.judged(ctx, side, clock)
		h.Still = still
		return h, err
	}
}

// refuseLogin is the answer to what asks for something else than the agent, and is written down.
func (a *app) refuseLogin(asked string) error {
	asked = fmt.Sprintf("%.80q", asked)
	record := schedule.KeyRecord(a.keyUses(), "this site", a.now)
	return errors.Join(&problem.Error{Kind: problem.Trust, Doing: "refusing", Object: asked,
		Err: errors.New("this key starts valtctl's restricted agent and nothing else"), Fix: "a person logs in with a key of their own"},
		record.Note(keyuse.Use{Call: keyuse.Login, Refused: keyuse.Foreign, Text: asked}))
}

func (a *app) restrictedFolder() string { return filepath.Join(a.hostRoot, facts.Restricted) }

func (a *app) keyUses() string { return filepath.Join(a.hostRoot, facts.KeyUses) }

// judged are the host's calls as it judges them by its own copy of the site.
func (a *app) judged(ctx context.Context, side *host.Side, clock restrict.Clock) (agent.Handlers, error) {
	side.Restricted = true
	all := side.Handlers()
	is, err := all.Facts(ctx, agent.FactsRequest{})
	if err != nil {
		return agent.Handlers{}, err
	}
	judge, err := schedule.Judge(schedule.JudgeOptions{Folder: a.restrictedFolder(), Uses: a.keyUses(), Clock: clock, Is: is, Fence: side.Highest,
		Transactions: func() ([]txn.Summary, error) { return side.Launcher.Store.List(0) }})
	if err != nil {
		return agent.Handlers{}, err
	}
	return judge.Handlers(all), nil
}
