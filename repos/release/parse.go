package release

import (
	"errors"
	"fmt"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release/allowed"
)

// ParseManifest reads a manifest strictly: an unknown field is an error, and so is every
// value that a host could not use, or that no release may ask for (package allowed). All
// errors are reported, each a problem of kind Input whose object is file, line and field
// ("manifest.json:31: roles.media.health[0].within").
func ParseManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := decodeStrict(data, &m); err != nil {
		return nil, &problem.Error{
			Kind: problem.Input, Doing: "reading the release manifest", Object: manifestLine(data, decodedTo(data, err)), Err: err,
			Fix: "write it as the JSON of " + ManifestSchema,
		}
	}
	var f findings
	m.validate(&f)
	if len(f) == 0 {
		return &m, nil
	}
	at := fieldOffsets(data)
	for _, err := range f {
		if p := (*problem.Error)(nil); errors.As(err, &p) {
			p.Object = manifestLine(data, at.of(p.Object)) + ": " + p.Object
		}
	}
	return nil, errors.Join(f...)
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

// allow reports the field if no release may ask for its value; err says why.
func (f *findings) allow(field string, err error) {
	if err != nil {
		*f = append(*f, &problem.Error{
			Kind: problem.Input, Doing: "checking the release manifest:", Object: field, Err: err, Fix: allowed.Instead(err),
		})
	}
}

// each reports those of several values that no release may ask for.
func (f *findings) each(field string, values []string, judge func(string) error) {
	for i, v := range values {
		f.allow(fmt.Sprintf("%s[%d]", field, i), judge(v))
	}
}
