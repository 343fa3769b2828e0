package cases

import (
	"errors"
	"fmt"
	"testing"
)

func TestSlownessCountsOnlyEveryTime(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		errs  []error // of one try after the other; then none
		tries int
		want  error
	}{
		"quick":                {nil, 1, nil},
		"slow once":            {[]error{slow("late")}, 2, nil},
		"broken":               {[]error{broken}, 1, broken},
		"slow, then broken":    {[]error{slow("late"), fmt.Errorf("worse: %w", broken)}, 2, broken},
		"slow every time":      {[]error{slow("1"), slow("2"), slow("3"), slow("4"), slow("5")}, slowTries, errAny},
		"slow, and wrapped so": {[]error{fmt.Errorf("app1: %w", slow("late"))}, 2, nil},
	} {
		tries := 0
		err := atItsBest(func() error {
			tries++
			if tries <= len(c.errs) {
				return c.errs[tries-1]
			}
			return nil
		})
		if tries != c.tries || (err == nil) != (c.want == nil) || c.want != errAny && !errors.Is(err, c.want) {
			t.Errorf("%s: %d tries, %v", name, tries, err)
		}
	}
}

var errAny = errors.New("any")
