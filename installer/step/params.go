package step

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// kindOf makes a Kind whose parameters are a T. Unknown parameters are errors: a host
// must not half-understand what a controller of another version asks for.
func kindOf[T any](name KindName, way Way, build func(T) (Step, error)) Kind {
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

// checkPackageWord keeps anything but a package's name out of apt's argv, where "x-"
// would remove and "-o" would configure. The rule is deb-control(5)'s.
func checkPackageWord(name string) error {
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("+-.", r))
	})
	if bad || len(name) < 2 || strings.ContainsRune("+-.", rune(name[0])) || strings.ContainsAny(name[len(name)-1:], "+-") && !strings.HasSuffix(name, "++") {
		return fmt.Errorf("%q is not a package's", name)
	}
	return nil
}
