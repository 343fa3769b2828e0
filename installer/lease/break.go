package lease

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/repos/problem"
)

// Fresh is a token for the hosts of a site to begin anew from: any of 2^52. Whatever runs there
// were, theirs are lower than it, and outranked, or more than Jump higher, and refused, but for
// one chance in 2^40. So a break does not need to know what the hosts had seen, which may be
// damaged or at its end.
func Fresh() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return int64(binary.BigEndian.Uint64(b[:])>>12) | 1<<40
}

// brk has this host know one token and no run, from whatever state its files are in. The fence is
// first: a power cut between the two leaves a lease that nobody can renew.
func (s *Store) brk(r agent.LeaseRequest) (agent.LeaseReply, error) {
	switch {
	case r.Reason == "":
		return agent.LeaseReply{}, &problem.Error{Kind: problem.Input, Doing: "breaking the lease", Err: errors.New("no reason is given"), Fix: "say why: --reason"}
	case r.Token < 1 || r.Token > last-Jump:
		return agent.LeaseReply{}, fmt.Errorf("reading the request: no site begins anew from token %d", r.Token)
	}
	var was kept
	if err := read(s.leaseFile(), &was); err != nil {
		was = kept{Who: "nobody known (its file is damaged)"}
	}
	if err := replace(s.fenceFile(), fence{r.Token}); err != nil {
		return agent.LeaseReply{}, err
	}
	l := kept{Token: r.Token, Rollout: was.Rollout, Broken: broken(was, r)}
	err := replace(s.leaseFile(), l)
	if noRoom(err) { // what it is told with is longer than the lease was
		l.Broken = ""
		err = replace(s.leaseFile(), l)
	}
	if err != nil {
		return agent.LeaseReply{}, err
	}
	r.Run, r.Seconds = "", maxAttended
	_ = s.attend(r) // the site can be changed again: who keeps the key out meanwhile is no reason to fail
	return reply(l, 0), nil
}

// broken is what stands in the lease's place.
func broken(was kept, r agent.LeaseRequest) string {
	of := "nobody's lease"
	if was.Run != "" || was.Who != "" {
		of = was.Who + " of run " + was.Run
	}
	return fmt.Sprintf("%s, by %s: %s", of, r.Who, r.Reason)
}

// replace is write over whatever is there: a folder or a link is put aside, and where the disk is
// full the new content takes the place of the old.
func replace(path string, v any) error {
	text, err := encode(path, v)
	if err != nil {
		return err
	}
	return put(path, text)
}
