package wowza

import "strings"

// stopped says that a recorder records nothing and will not begin by itself. Every word
// that is not known counts as recording.
func (r Recorder) stopped() bool {
	return strings.Contains(strings.ToLower(r.State), "stopped")
}
