package agent

import (
	"encoding/json"
	"errors"

	"github.com/creachadair/jrpc2"

	"ipivs.com/valtctl/repos/problem"
)

// codeProblem marks a jrpc2 error whose data is a list of problem.Record.
const codeProblem jrpc2.Code = 1

func toWire(err error) error {
	if err == nil {
		return nil
	}
	return (&jrpc2.Error{Code: codeProblem, Message: err.Error()}).WithData(problem.Records(err))
}

func fromWire(err error) error {
	var remote *jrpc2.Error
	if !errors.As(err, &remote) || remote.Code != codeProblem {
		return err
	}
	var problems []problem.Record
	if json.Unmarshal(remote.Data, &problems) != nil || len(problems) == 0 {
		return errors.New(remote.Message)
	}
	return problem.FromRecords(problems)
}
