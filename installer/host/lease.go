package host

import (
	"context"
	"path/filepath"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/lease"
)

func (s *Side) leases() *lease.Store {
	root := s.Launcher.Root
	return &lease.Store{Dir: filepath.Join(root, "/var/lib/valtctl"), Memory: filepath.Join(root, "/run/valtctl"),
		Now: s.Now, Boot: lease.BootClock(root), Key: s.Restricted}
}

// lease answers for the site's lease, on the host that keeps it.
func (s *Side) lease(_ context.Context, r agent.LeaseRequest) (agent.LeaseReply, error) {
	return s.leases().Do(r)
}

// Highest is the highest token that this host has seen.
func (s *Side) Highest() (int64, error) { return s.leases().Highest() }
