package site

import (
	"errors"
	"path/filepath"
)

// Mistake is one thing that is wrong with a field, in the words of Load's errors.
type Mistake struct {
	Field string // such as hosts[0].address; empty: the file as a whole
	What  string
	Fix   string
}

// Mistakes judges a site file that may still be in the making: what is wrong, field by
// field, and what is odd without being wrong. Name and home are as for Parse.
func Mistakes(name string, data []byte, home string) (wrong, odd []Mistake) {
	r := newReader(sourceOf(name, filepath.Dir(name), home))
	s := defaults()
	if v, ok := r.root(data); ok {
		r.site(v, s)
		r.judge(s)
	}
	return plainly(r.found), plainly(r.warnings)
}

func plainly(list []mistake) []Mistake {
	var all []Mistake
	for _, m := range list {
		what := m.err.Err
		if inner := errors.Unwrap(what); m.path != "" && inner != nil {
			what = inner
		}
		all = append(all, Mistake{Field: m.path, What: what.Error(), Fix: m.err.Fix})
	}
	return all
}
