package lease

import (
	"errors"
	"fmt"

	"ipivs.com/valtctl/repos/problem"
)

// Jump is how far ahead of the highest token that a host has seen another one may be. Each lease
// goes one further, so a thousand of them fit between two visits to a host; a mistaken or hostile
// number does not use up those to come, and one of before a break (Fresh) is told by it.
const Jump = 1000

// last is the last token: the largest whole number that every reader of JSON has exactly
// (RFC 8259, section 6).
const last = 1<<53 - 1

// anew is what leads out of numbers that go no further.
const anew = "valtctl lock break --reason WHY has every host of the site begin anew; valtctl resume goes on with what was begun"

// fence is the highest token that this host has seen.
type fence struct {
	Highest int64 `json:"highest"`
}

// Highest is the highest token that this host has seen; 0: none. A fence that cannot be read is an
// error, since it may be any.
func (s *Store) Highest() (int64, error) {
	f := fence{}
	there, err := readIfThere(s.fenceFile(), &f)
	switch {
	case err != nil:
		return 0, err
	case !there && wasPutAside(s.fenceFile()):
		return 0, damaged(s.fenceFile(), errors.New("it was put aside, and the new one is not there"))
	case there && (f.Highest < 1 || f.Highest > last):
		return 0, damaged(s.fenceFile(), fmt.Errorf("its token is %d", f.Highest))
	}
	return f.Highest, nil
}

// While admits a token and does what its run asks for as one: no other token is admitted
// before that is done, so that what an outranked run began is there for its successor to
// see. do should be short: renewals wait for it.
func (s *Store) While(token int64, do func() error) error {
	guard, err := s.guard()
	if err != nil {
		return err
	}
	defer guard.Close()
	if err := s.admit(token); err != nil {
		return err
	}
	return do()
}

// admit refuses a token that a newer one has outranked, or that goes too far, and remembers a newer
// one before anything is done with it. Whoever calls it has the guard.
func (s *Store) admit(token int64) error {
	if err := s.keptOut(); err != nil {
		return err
	}
	highest, err := s.Highest()
	switch {
	case err != nil:
		return err
	case token < highest:
		return &problem.Error{Kind: problem.Locked, Doing: "changing this host",
			Err: fmt.Errorf("another run has taken over: its token is %d, this one's %d", highest, token),
			Fix: "see what that run does with: valtctl lock show, valtctl status"}
	case token == highest:
		return nil
	case token > last || Far(highest, token):
		return tooFar(highest, token)
	}
	return write(s.fenceFile(), fence{token})
}

// Far says whether a token is too far ahead of the highest that a host has seen. One that has seen
// none takes any.
func Far(highest, token int64) bool { return highest > 0 && token-highest > Jump }

// following is the token after top, the highest of any host, on one that has seen another.
func following(highest, top int64) (int64, error) {
	if top >= last {
		return 0, &problem.Error{Kind: problem.Failed, Doing: "taking the site's lease",
			Err: fmt.Errorf("its numbers are at their end: the highest that a host has seen is %d", top), Fix: anew}
	}
	if Far(highest, top+1) {
		return 0, tooFar(highest, top+1)
	}
	return top + 1, nil
}

func tooFar(highest, token int64) error {
	return &problem.Error{Kind: problem.Failed, Doing: "changing this host",
		Err: fmt.Errorf("this run's token is %d, and the highest that this host has seen is %d: more than %d between them are no site's own doing", token, highest, Jump),
		Fix: anew}
}
