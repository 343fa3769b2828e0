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
// login has asked for nothing but this agent (sshd(8), SSH_ORIGINAL_COMMAND).
func (a *app) restricted(ctx context.Context, side *host.Side, clock restrict.Clock) (agent.Handlers, error) {
	folder := filepath.Join(a.hostRoot, facts.Restricted)
	if asked := os.Getenv("SSH_ORIGINAL_COMMAND"); asked != remote.RestrictedCommand {
		return agent.Handlers{}, errors.Join(&problem.Error{Kind: problem.Trust, Doing: "refusing", Object: fmt.Sprintf("%.80q", asked),
			Err: errors.New("this key starts valtctl's restricted agent and nothing else"), Fix: "a person logs in with a key of their own"},
			schedule.KeyRecord(folder, "this site", a.now).Note(keyuse.Use{Call: keyuse.Login, Refused: keyuse.Foreign, Text: fmt.Sprintf("%.80q", asked)}))
	}
	all := side.Handlers()
	is, err := all.Facts(ctx, agent.FactsRequest{})
	if err != nil {
		return agent.Handlers{}, err
	}
	judge, err := schedule.Judge(schedule.JudgeOptions{Folder: folder, Clock: clock, Is: is, Fence: side.Highest,
		Transactions: func() ([]txn.Summary, error) { return side.Launcher.Store.List(0) }})
	if err != nil {
		return agent.Handlers{}, err
	}
	return judge.Handlers(all), nil
}
