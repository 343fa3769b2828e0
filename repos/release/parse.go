package release

import (
	"errors"
	"fmt"

	"ipivs.com/valtctl/repos/problem"
)

// ParseManifest reads a manifest strictly: an unknown field is an error, and so is every
// value that a host could not use. All errors are reported, each a problem of kind Input
// whose object is the field ("roles.media.health[0].within").
func ParseManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := decodeStrict(data, &m); err != nil {
		return nil, &problem.Error{
			Kind: problem.Input, Doing: "reading the release manifest", Err: err,
			Fix: "write it as the JSON of " + ManifestSchema,
		}
	}
	var f findings
	m.validate(&f)
	if err := errors.Join(f...); err != nil {
		return nil, err
	}
	return &m, nil
}

// findings collects what is wrong with a manifest.
type findings []error

// add reports a field whose value cannot be used, and what to write instead.
func (f *findings) add(field string, value any, fix string) {
	*f = append(*f, &problem.Error{
		Kind: problem.Input, Doing: "checking the release manifest:", Object: field,
		Err: fmt.Errorf("%q cannot be used", fmt.Sprint(value)), Fix: "write " + fix,
	})
}

// need reports the field unless ok.
func (f *findings) need(ok bool, field string, value any, fix string) {
	if !ok {
		f.add(field, value, fix)
	}
}
