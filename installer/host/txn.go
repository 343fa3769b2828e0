package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/step"
	aptstep "ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/release"
)

// listed is how many of the newest transactions a controller is told of, besides those that say
// what the host is: enough to reckon the next one's time with the last updates'; few enough not
// to slow down every connection. listedAll is how many a history has.
const (
	listed    = 20
	listedAll = 200
)

// trustedStateFile is where a host keeps what it has seen of the release repository.
const trustedStateFile = "/var/lib/valtctl/tuf/state.json"

func (s *Side) facts(ctx context.Context, r agent.FactsRequest) (agent.FactsReply, error) {
	m := s.machine(nil)
	engine, err := m.Docker()
	if err != nil {
		return agent.FactsReply{}, fmt.Errorf("gathering facts: %w", err)
	}
	f, err := facts.Gather(ctx, facts.Options{Root: m.Root, Docker: engine, Now: s.Now, Full: r.Full})
	if err != nil {
		return agent.FactsReply{}, err
	}
	reply := agent.FactsReply{Facts: f, KeyUse: keyuse.Read(m.Path(facts.KeyUses), keyuse.Shown)}
	if reply.Transactions, err = s.Launcher.Store.Recent(listed); err != nil {
		return reply, err
	}
	if reply.Fence, err = s.leases().Highest(); err != nil {
		return reply, err
	}
	if reply.Schedule, err = readSchedule(m, f.Installed); err != nil {
		return reply, err
	}
	reply.TrustedState, err = readState(m.Path(trustedStateFile))
	return reply, err
}

// readSchedule is what this host has written down of unattended runs; nil: they are not
// enabled here.
func readSchedule(m *step.Machine, is *facts.Installed) (*agent.Schedule, error) {
	if is == nil {
		return nil, nil
	}
	var s agent.Schedule
	for path, into := range map[string]*json.RawMessage{facts.ScheduleEnabled(is.Site): &s.Enabled,
		facts.ScheduleState(is.Site): &s.State, facts.SchedulePause(is.Site): &s.Pause} {
		content, err := readJSON(m.Path(path))
		if err != nil {
			return nil, err
		}
		*into = content
	}
	if s.Enabled == nil {
		return nil, nil
	}
	return &s, nil
}

func (s *Side) list(context.Context, agent.TxnListRequest) (agent.TxnListReply, error) {
	all, err := s.Launcher.Store.Audit(listedAll)
	return agent.TxnListReply{Transactions: all}, err
}

// beginWithin is how long beginning a transaction may take: files are written and systemd is
// asked. Nobody else is admitted to the host meanwhile.
const beginWithin = 20 * time.Second

func (s *Side) start(ctx context.Context, r agent.TxnStartRequest) (reply agent.TxnReply, err error) {
	return s.admitted(ctx, r.Request.Fence, func(ctx context.Context) (agent.TxnReply, error) { return s.begin(ctx, r) })
}

// admitted does what a run asks for, if no other has outranked it, and lets no other one be
// admitted meanwhile.
func (s *Side) admitted(ctx context.Context, token int64, do func(context.Context) (agent.TxnReply, error)) (reply agent.TxnReply, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, beginWithin, fmt.Errorf("systemd did not begin it within %s", beginWithin))
	defer cancel()
	err = s.leases().While(token, func() error {
		reply, err = do(ctx)
		return err
	})
	return reply, err
}

func (s *Side) begin(ctx context.Context, r agent.TxnStartRequest) (agent.TxnReply, error) {
	path := s.machine(nil).Path(trustedStateFile)
	if err := keepState(path, r.TrustedState); err != nil {
		return agent.TxnReply{}, err
	}
	id, err := s.Launcher.Store.Create(r.Request, r.Secrets, s.Kinds)
	if err != nil {
		return agent.TxnReply{}, err
	}
	if err := s.Launcher.Start(ctx, id); err != nil {
		return agent.TxnReply{ID: id}, err
	}
	s.clearAgents()
	return agent.TxnReply{ID: id}, nil
}

// solve has this host's apt say what an installation would fetch; nothing is fetched.
func (s *Side) solve(ctx context.Context, q apt.Question) (agent.SolveReply, error) {
	files, err := apt.Ask(ctx, q)
	return agent.SolveReply{Files: files}, err
}

// prove has this host's apt plan packages from the run's bundle alone.
func (s *Side) prove(ctx context.Context, r agent.ProveRequest) (agent.ProveReply, error) {
	files, err := aptstep.ProveBundle(ctx, s.machine(r.Secrets), r.Steps)
	var reply agent.ProveReply
	for _, f := range files {
		reply.Files = append(reply.Files, agent.PackageFile{Package: f.Key(), SHA256: f.Hash.SHA256, Size: f.Hash.Size})
	}
	return reply, err
}

// restart goes on with a transaction. One that has ended since the controller looked is
// what the controller wanted: there is nothing left to do but to follow it.
func (s *Side) restart(ctx context.Context, r agent.TxnRestartRequest) (agent.TxnReply, error) {
	return s.admitted(ctx, r.Fence, func(ctx context.Context) (agent.TxnReply, error) { return s.goOn(ctx, r) })
}

func (s *Side) goOn(ctx context.Context, r agent.TxnRestartRequest) (agent.TxnReply, error) {
	if err := s.Launcher.Store.Understood(r.ID, s.Kinds); err != nil {
		return agent.TxnReply{}, err
	}
	err := s.Launcher.Store.Restart(r.ID, r.Secrets)
	if errors.Is(err, txn.ErrOver) {
		return agent.TxnReply{ID: r.ID}, nil
	}
	if err != nil {
		return agent.TxnReply{}, err
	}
	return agent.TxnReply{ID: r.ID}, s.Launcher.Start(ctx, r.ID)
}

// confirm hands a controller's answer to a transaction that has switched the host.
func (s *Side) confirm(_ context.Context, r agent.TxnConfirmRequest) (struct{}, error) {
	return struct{}{}, s.leases().While(r.Fence, func() error { return s.Launcher.Store.Confirm(r.ID, r.Undo) })
}

func (s *Side) follow(ctx context.Context, r agent.TxnFollowRequest, event func(txn.Event) error) (agent.TxnFollowReply, error) {
	result, err := s.Launcher.Store.Follow(ctx, r.ID, r.From, event)
	return agent.TxnFollowReply{Result: result}, err
}

// readState is what this host has seen of the release repository; nil where that is nothing
// yet. A file that was torn by a power cut before it was kept durably counts as nothing: the
// next run writes it.
func readState(path string) (*release.State, error) {
	content, err := readJSON(path)
	if err != nil || content == nil {
		return nil, err
	}
	var seen release.State
	if err := json.Unmarshal(content, &seen); err != nil {
		return nil, fmt.Errorf("reading what was seen of the releases: %w", err)
	}
	return &seen, nil
}

// readJSON is the content of a file of JSON; nil where there is none, or no JSON.
func readJSON(path string) (json.RawMessage, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if !json.Valid(content) {
		return nil, nil
	}
	return content, nil
}

// keepState refuses a change whose releases are of an older repository than the host has
// seen, whatever the controller thinks of it (of a bundle, for one), and keeps a newer one,
// so that no later controller can offer this host an older repository.
func keepState(path string, offered *release.State) error {
	if offered == nil {
		return nil
	}
	seen, err := readState(path)
	if err != nil {
		return err
	}
	if seen != nil {
		if err := release.NotOlder(*offered, *seen, "this host"); err != nil {
			return err
		}
	} else {
		seen = &release.State{}
	}
	if !offered.Adds(*seen) {
		return nil
	}
	content, err := json.Marshal(offered)
	if err != nil {
		return fmt.Errorf("keeping what was seen of the releases: %w", err)
	}
	if err := durable.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("keeping what was seen of the releases: %w", err)
	}
	return durable.WriteFile(path, content, 0o644)
}
