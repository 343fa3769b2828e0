// Package problem is the one shape in which valtctl reports that something went
// wrong: what was being done, to what, why it failed and what to do next. The
// kind decides the exit code. It lives below everything else so that every layer
// can use it; it neither prints nor exits, which is cmd's business.
package problem

import (
	"errors"
	"fmt"
	"strings"
)

// Kind groups problems by what the caller of the program should conclude.
type Kind int

// The kinds, each with the exit code of the command line (contracts.md).
const (
	Failed      Kind = iota // exit 1: the work itself failed
	Input                   // exit 2: bad usage or input
	Check                   // exit 3: a check or pre-check failed, or drift
	Halted                  // exit 4: a rollout halted or a host was skipped
	Locked                  // exit 5: another run holds the site or the host
	Trust                   // exit 6: a signature, host key or digest is not what it must be
	Interrupted             // exit 130: a person stopped the run
)

// Error is one problem. Doing is a gerund ("pulling"), Object what it was done
// to, Err the cause, Fix a sentence that says what to do. Fix may be empty.
type Error struct {
	Kind   Kind
	Doing  string
	Object string
	Err    error
	Fix    string
}

// Error returns "doing object: cause", without the fix.
func (e *Error) Error() string {
	head := strings.TrimSpace(e.Doing + " " + e.Object)
	switch {
	case e.Err == nil:
		return head
	case head == "":
		return e.Err.Error()
	}
	return fmt.Sprintf("%s: %v", head, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode is the code the command line ends with for a problem of this kind.
func (k Kind) ExitCode() int {
	switch k {
	case Input:
		return 2
	case Check:
		return 3
	case Halted:
		return 4
	case Locked:
		return 5
	case Trust:
		return 6
	case Interrupted:
		return 130
	}
	return 1
}

// rank orders kinds where several apply: 6, 2, 5, 4, 3, 1 (contracts.md). A
// person's interrupt outranks all, since it is why the rest ended.
func (k Kind) rank() int {
	for i, o := range []Kind{Failed, Check, Halted, Locked, Input, Trust, Interrupted} {
		if o == k {
			return i
		}
	}
	return 0
}

// All lists every problem in err, joined ones included, in order. A plain error
// becomes a problem of kind Failed; text wrapped around one problem is kept as its cause.
func All(err error) []*Error {
	switch e := err.(type) {
	case nil:
		return nil
	case *Error:
		return []*Error{e}
	case interface{ Unwrap() []error }:
		var all []*Error
		for _, part := range e.Unwrap() {
			all = append(all, All(part)...)
		}
		return all
	}
	cause := errors.Unwrap(err)
	inner := All(cause)
	switch len(inner) {
	case 0:
		return []*Error{{Kind: Failed, Err: err}}
	case 1:
		return []*Error{{Kind: inner[0].Kind, Err: err, Fix: inner[0].Fix}}
	}
	// What was wrapped around several ("host media1: ") belongs to each of them.
	prefix, _ := strings.CutSuffix(err.Error(), cause.Error())
	all := make([]*Error, len(inner))
	for i, e := range inner {
		all[i] = &Error{Kind: e.Kind, Err: fmt.Errorf("%s%w", prefix, e), Fix: e.Fix}
	}
	return all
}

// KindOf is the strongest kind among the problems in err.
func KindOf(err error) Kind {
	strongest := Failed
	for _, e := range All(err) {
		if e.Kind.rank() > strongest.rank() {
			strongest = e.Kind
		}
	}
	return strongest
}
