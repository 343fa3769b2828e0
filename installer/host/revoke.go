package host

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// maxRevoked is how many revoked keys are remembered, the newest: one goes with each rotation.
const maxRevoked = 1000

// Accepts says whether this host takes a key (facts.KeyID) for unattended runs; nil: it does. It is
// asked before each call, so that a key that was rotated ends with that.
func (s *Side) Accepts(key string) error {
	taken, err := s.lines(facts.RestrictedKey)
	if err != nil {
		return err
	}
	revoked, err := s.lines(facts.RevokedKeys)
	if err != nil {
		return err
	}
	why := ""
	switch {
	case !isKeyID(key):
		why = "this host was enabled for a key by an earlier valtctl"
	case slices.Contains(revoked, key):
		why = "it was revoked"
	case !slices.Contains(taken, key):
		why = "this host takes another one, or none"
	default:
		return nil
	}
	return &problem.Error{Kind: problem.Trust, Doing: "refusing", Object: "the key of unattended runs", Err: errors.New(why),
		Fix: "a person gives the site's servers its key: valtctl schedule enable, or valtctl schedule rotate"}
}

func isKeyID(key string) bool {
	raw, err := hex.DecodeString(key)
	return err == nil && len(raw) == 16
}

// lines are those of a file; none: there is none.
func (s *Side) lines(path string) ([]string, error) {
	text, err := os.ReadFile(s.machine(nil).Path(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading which key this host takes: %w", err)
	}
	return strings.Fields(string(text)), nil
}

// revoke has this host take no key any more. It is no transaction, so that it works beside one that
// runs, also one that was begun with the key. What takes no room comes first.
func (s *Side) revoke(_ context.Context, r agent.RevokeRequest) (agent.RevokeReply, error) {
	m := s.machine(nil)
	taken, unread := s.lines(facts.RestrictedKey)
	if err := durable.Remove(m.Path(facts.RestrictedKey)); err != nil {
		return agent.RevokeReply{}, errors.Join(unread, err)
	}
	all, err := s.lines(facts.RevokedKeys)
	if err = errors.Join(unread, err); err != nil {
		return agent.RevokeReply{}, err
	}
	was := len(all)
	for _, key := range slices.Concat(taken, r.Keys) {
		if isKeyID(key) && !slices.Contains(all, key) {
			all = append(all, key)
		}
	}
	if len(all) > was {
		all = all[max(0, len(all)-maxRevoked):]
		if err := durable.MkdirAll(filepath.Dir(m.Path(facts.RevokedKeys)), 0o755); err != nil {
			return agent.RevokeReply{}, err
		}
		if err := durable.WriteFile(m.Path(facts.RevokedKeys), []byte(strings.Join(all, "\n")+"\n"), 0o644); err != nil {
			return agent.RevokeReply{}, err
		}
	}
	return agent.RevokeReply{Was: strings.Join(taken, " ")}, nil
}
