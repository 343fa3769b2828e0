// Package allowed lists what a release may ask of a host: where its files, folders, passwords and
// binds may lie, which capabilities, devices, logs and kernel settings its containers may have,
// where packages may come from. Whatever is on no list is refused, so what nobody has thought of is
// refused as well. A signature says who wrote a release and not that it is right, so the same lists
// judge where a release is published, where it is planned, and on the host right before it is done.
// The package judges words alone; following links on a host is for the steps, and which field of
// which file a word stood in is for whoever read it.
package allowed

import (
	"errors"
	"fmt"
	"regexp"
)

// Refusal is why something may not be asked for, and what to write instead.
type Refusal struct {
	Why     string
	Instead string // a sentence without a full stop
}

// Error is the reason.
func (r *Refusal) Error() string { return r.Why }

// Instead is what to write instead of what err refuses; empty where it says nothing of that.
func Instead(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Instead
	}
	return ""
}

// Refused says whether err refuses something that no release may ask for.
func Refused(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}

func refuse(instead, format string, args ...any) error {
	return &Refusal{Why: fmt.Sprintf(format, args...), Instead: instead}
}

// matches says whether all of text fits the pattern.
func matches(pattern, text string) bool {
	return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(text)
}
