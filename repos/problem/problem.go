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
		if e.Kind.row().rank > strongest.row().rank {
			strongest = e.Kind
		}
	}
	return strongest
}
