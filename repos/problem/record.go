package problem

import "errors"

// Record is a problem as it crosses a wire or stays in a file: the cause is text, and
// errors.Is no longer finds anything in it.
type Record struct {
	Kind   Kind   `json:"kind"`
	Doing  string `json:"doing,omitempty"`
	Object string `json:"object,omitempty"`
	Cause  string `json:"cause,omitempty"`
	Fix    string `json:"fix,omitempty"`
}

// Records are all problems in err, in order; none for nil.
func Records(err error) []Record {
	var all []Record
	for _, e := range All(err) {
		r := Record{Kind: e.Kind, Doing: e.Doing, Object: e.Object, Fix: e.Fix}
		if e.Err != nil {
			r.Cause = e.Err.Error()
		}
		all = append(all, r)
	}
	return all
}

// Err is the problem as an error again.
func (r Record) Err() *Error {
	e := &Error{Kind: r.Kind, Doing: r.Doing, Object: r.Object, Fix: r.Fix}
	if r.Cause != "" {
		e.Err = errors.New(r.Cause)
	}
	return e
}

// FromRecords is one error of all problems; nil for none.
func FromRecords(all []Record) error {
	errs := make([]error, len(all))
	for i, r := range all {
		errs[i] = r.Err()
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
