package agent

import (
	"encoding/json"
	"errors"

	"github.com/creachadair/jrpc2"

	"ipivs.com/valtctl/repos/problem"
)

// Problem is a problem.Error on the wire.
type Problem struct {
	Kind   int    `json:"kind"` // problem.Kind; both sides are the same binary
	Doing  string `json:"doing,omitempty"`
	Object string `json:"object,omitempty"`
	Cause  string `json:"cause,omitempty"`
	Fix    string `json:"fix,omitempty"`
}

// Problems puts every problem in err into the form that crosses the wire; none for nil.
func Problems(err error) []Problem {
	var all []Problem
	for _, e := range problem.All(err) {
		p := Problem{Kind: int(e.Kind), Doing: e.Doing, Object: e.Object, Fix: e.Fix}
		if e.Err != nil {
			p.Cause = e.Err.Error()
		}
		all = append(all, p)
	}
	return all
}

// Err puts problems from the wire back together; nil for none.
func Err(problems []Problem) error {
	var all []error
	for _, p := range problems {
		e := &problem.Error{Kind: problem.Kind(p.Kind), Doing: p.Doing, Object: p.Object, Fix: p.Fix}
		if p.Cause != "" {
			e.Err = errors.New(p.Cause)
		}
		all = append(all, e)
	}
	if len(all) == 1 {
		return all[0]
	}
	return errors.Join(all...)
}

// codeProblem marks a jrpc2 error whose data is a list of Problem.
const codeProblem jrpc2.Code = 1

func toWire(err error) error {
	if err == nil {
		return nil
	}
	return (&jrpc2.Error{Code: codeProblem, Message: err.Error()}).WithData(Problems(err))
}

func fromWire(err error) error {
	var remote *jrpc2.Error
	if !errors.As(err, &remote) || remote.Code != codeProblem {
		return err
	}
	var problems []Problem
	if json.Unmarshal(remote.Data, &problems) != nil || len(problems) == 0 {
		return errors.New(remote.Message)
	}
	return Err(problems)
}
