package step

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// KindOf makes a Kind whose parameters are a T. Unknown parameters are errors: a host
// must not half-understand what a controller of another version asks for.
func KindOf[T any](name KindName, way Way, build func(T) (Step, error)) Kind {
	return Kind{Name: name, Way: way, New: func(raw json.RawMessage) (Step, error) {
		var params T
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&params); err != nil {
			return nil, fmt.Errorf("reading the parameters of a %s step: %w", name, err)
		}
		return build(params)
	}}
}
