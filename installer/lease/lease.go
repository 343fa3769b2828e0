// Package lease keeps, on one host of a site, who may change the site now, and on every
// host the highest fencing token that it has seen. A run that was paused beyond its lease
// cannot know that; its token tells the hosts. Time is the host's boot clock, which nobody
// sets. What a run does with its lease is for package installer.
package lease

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// maxRollout caps what a run keeps beside its lease, in bytes, and maxReason what a person says
// of breaking it; maxSeconds is how long a run may hold it without renewing.
const (
	maxRollout = 1 << 20
	maxReason  = 4096
	maxSeconds = 24 * 3600
)

// Store is the lease and the fence of one host.
type Store struct {
	Dir    string // /var/lib/valtctl
	Memory string // /run/valtctl: what a boot forgets
	Now    func() time.Time
	Boot   func() (id string, up time.Duration, err error) // the boot clock
	// Key says that whoever asks has the key of unattended runs, which a person's run keeps out.
	Key bool
}

// kept is the lease's file.
type kept struct {
	Who     string          `json:"who,omitempty"`
	Run     string          `json:"run,omitempty"`
	Token   int64           `json:"token"`
	BootID  string          `json:"boot_id,omitempty"`
	Until   time.Duration   `json:"until_ns,omitempty"` // in that boot
	Taken   time.Time       `json:"taken,omitzero"`
	Broken  string          `json:"broken,omitempty"` // by whom and why
	Rollout json.RawMessage `json:"rollout,omitempty"`
}

func (s *Store) leaseFile() string { return filepath.Join(s.Dir, "lease.json") }
func (s *Store) fenceFile() string { return filepath.Join(s.Dir, "fence.json") }
func (s *Store) guardFile() string { return filepath.Join(s.Dir, ".lease-guard") }

// Do answers a request (agent.LeaseRequest). The error is a problem.Locked where another
// run holds the lease, or where this one does no more.
func (s *Store) Do(r agent.LeaseRequest) (agent.LeaseReply, error) {
	if err := check(r); err != nil {
		return agent.LeaseReply{}, err
	}
	guard, err := s.guardFor(r.Action)
	if err != nil {
		return agent.LeaseReply{}, err
	}
	defer guard.Close()
	switch r.Action {
	case agent.LeaseFence:
		if err := s.admit(r.Token); err != nil {
			return agent.LeaseReply{}, err
		}
		return agent.LeaseReply{Token: r.Token}, s.attend(r)
	case agent.LeaseBreak:
		return s.brk(r)
	case agent.LeaseRelease:
		s.leave(r.Token)
	}
	l, err := s.kept()
	if err != nil {
		return agent.LeaseReply{}, err
	}
	left, err := s.left(l)
	if err != nil {
		return agent.LeaseReply{}, err
	}
	switch r.Action {
	case agent.LeaseShow:
		return reply(l, left), nil
	case agent.LeaseTake:
		return s.take(l, left, r)
	case agent.LeaseRenew:
		return s.renew(l, left, r)
	case agent.LeaseRelease:
		return s.release(l, r)
	}
	return agent.LeaseReply{}, fmt.Errorf("reading the request: this valtctl knows no %q of a lease", r.Action)
}

// kept is the lease as it is written down.
func (s *Store) kept() (kept, error) {
	var l kept
	err := read(s.leaseFile(), &l)
	if err == nil && (l.Token < 0 || l.Token > last) {
		err = damaged(s.leaseFile(), fmt.Errorf("its token is %d", l.Token))
	}
	return l, err
}

func check(r agent.LeaseRequest) error {
	if len(r.Rollout) > maxRollout {
		return fmt.Errorf("keeping the rollout: its %d bytes are more than %d", len(r.Rollout), maxRollout)
	}
	if len(r.Reason) > maxReason || len(r.Who) > maxReason {
		return fmt.Errorf("reading the request: who breaks a lease, and why, is told in %d bytes each at most", maxReason)
	}
	if (r.Action == agent.LeaseTake || r.Action == agent.LeaseRenew) && (r.Run == "" || r.Seconds < 1 || r.Seconds > maxSeconds) {
		return fmt.Errorf("reading the request: a lease is of a run, and for 1 to %d seconds", maxSeconds)
	}
	return nil
}

// guardFor is guard. Breaking a lease goes on where the guard's file is damaged: it holds nothing
// but its lock, so it is made anew.
func (s *Store) guardFor(a agent.LeaseAction) (io.Closer, error) {
	guard, err := s.guard()
	if err == nil || a != agent.LeaseBreak || problem.KindOf(err) == problem.Locked {
		return guard, err
	}
	if removed := durable.RemoveAll(s.guardFile()); removed != nil {
		return nil, errors.Join(err, removed)
	}
	return s.guard()
}

// guard lets one agent at a time decide.
func (s *Store) guard() (io.Closer, error) {
	if err := durable.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("guarding the lease: %w", err)
	}
	if info, err := os.Lstat(s.guardFile()); err == nil && !info.Mode().IsRegular() { // a pipe would be waited for
		return nil, damaged(s.guardFile(), errNotPlain)
	}
	for try := 0; ; try++ {
		w, _, _, err := journal.Open(s.guardFile(), s.Now)
		if err == nil {
			return w, nil
		}
		if problem.KindOf(err) != problem.Locked {
			return nil, damaged(s.guardFile(), err)
		}
		if try == 100 {
			return nil, fmt.Errorf("guarding the lease: %w", err)
		}
		time.Sleep(10 * time.Millisecond) // another agent is deciding
	}
}

// left is how long a lease still holds; 0: it does not.
func (s *Store) left(l kept) (time.Duration, error) {
	id, up, err := s.Boot()
	if err != nil {
		return 0, fmt.Errorf("reading the boot clock: %w", err)
	}
	if l.Run == "" || l.BootID != id || l.Until <= up {
		return 0, nil
	}
	return l.Until - up, nil
}

func (s *Store) take(l kept, left time.Duration, r agent.LeaseRequest) (agent.LeaseReply, error) {
	if left > 0 && l.Run != r.Run {
		return reply(l, left), held(l, left)
	}
	highest, err := s.Highest()
	if err != nil {
		return agent.LeaseReply{}, err
	}
	next, err := following(highest, max(r.Token, l.Token, highest))
	if err != nil {
		return agent.LeaseReply{}, err
	}
	return s.hold(kept{Who: r.Who, Run: r.Run, Token: next, Taken: s.Now().UTC(), Rollout: l.Rollout}, r)
}

func (s *Store) renew(l kept, left time.Duration, r agent.LeaseRequest) (agent.LeaseReply, error) {
	if left == 0 || l.Run != r.Run || l.Token != r.Token {
		return reply(l, left), lost(l, r)
	}
	return s.hold(l, r)
}

// hold writes a lease that begins now.
func (s *Store) hold(l kept, r agent.LeaseRequest) (agent.LeaseReply, error) {
	id, up, err := s.Boot()
	if err != nil {
		return agent.LeaseReply{}, fmt.Errorf("reading the boot clock: %w", err)
	}
	length := time.Duration(r.Seconds) * time.Second
	l.BootID, l.Until, l.Broken = id, up+length, ""
	if string(r.Rollout) == "null" {
		l.Rollout = nil
	} else if len(r.Rollout) > 0 {
		l.Rollout = r.Rollout
	}
	if err := s.admit(l.Token); err != nil {
		return agent.LeaseReply{}, err
	}
	return reply(l, length), write(s.leaseFile(), l)
}

func (s *Store) release(l kept, r agent.LeaseRequest) (agent.LeaseReply, error) {
	if l.Token != r.Token || l.Run == "" {
		return reply(l, 0), nil // it is another's by now, or nobody's
	}
	l.Who, l.Run, l.BootID, l.Until = "", "", "", 0
	return reply(l, 0), write(s.leaseFile(), l)
}

func held(l kept, left time.Duration) error {
	return &problem.Error{Kind: problem.Locked, Doing: "taking the site's lease",
		Err: fmt.Errorf("%s holds it with run %s since %s, for another %s unless renewed", l.Who, l.Run, l.Taken.Format(time.DateTime), left.Round(time.Second)),
		Fix: "wait until that run has ended; if it never will: valtctl lock break --reason WHY"}
}

func lost(l kept, r agent.LeaseRequest) error {
	why := "it has expired"
	switch {
	case l.Run != "" && l.Run != r.Run:
		why = fmt.Sprintf("%s has taken it with run %s", l.Who, l.Run)
	case l.Broken != "":
		why = "it was broken: " + l.Broken
	}
	return &problem.Error{Kind: problem.Locked, Doing: "renewing the site's lease of run", Object: r.Run, Err: errors.New(why),
		Fix: "this run changes nothing any more; see what was done with: valtctl status"}
}

func reply(l kept, left time.Duration) agent.LeaseReply {
	r := agent.LeaseReply{Token: l.Token, Rollout: l.Rollout, Broken: l.Broken}
	if left > 0 {
		r.Who, r.Run, r.Left = l.Who, l.Run, int64((left+time.Second-1)/time.Second)
	}
	return r
}
