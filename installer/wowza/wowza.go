// Package wowza asks a media engine what it does: which streams come in, who watches,
// what is recorded, which licence it has. It speaks the REST interface of Wowza Streaming
// Engine, version 2, which by stock answers the engine's own host alone, so it is used on
// that host. It never changes the engine.
package wowza

import "time"

// Access is how a host reaches its own engine's REST interface. It travels with plans, so
// it names the file of the password and never holds one.
type Access struct {
	URL          string `json:"url,omitempty"`  // empty: DefaultURL
	User         string `json:"user,omitempty"` // empty: DefaultUser
	PasswordFile string `json:"password_file"`
}

// DefaultURL and DefaultUser are the release's, where it says nothing (docs/assumptions.md).
const (
	DefaultURL  = "http://127.0.0.1:8087"
	DefaultUser = "valt"
)

// State is what an engine did at one moment.
type State struct {
	Running     bool       `json:"running"` // false: nothing answers, nothing is recorded
	Recorders   []Recorder `json:"recorders,omitempty"`
	Streams     []Stream   `json:"streams,omitempty"`
	Connections int        `json:"connections"` // of viewers and publishers
	Licence     string     `json:"licence,omitempty"`
	Version     string     `json:"version,omitempty"`
	Uptime      Seconds    `json:"uptime"`
}

// Seconds is a whole number of them.
type Seconds int64

// Duration is s as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Recorder is one stream recorder. One that waits for its stream may begin at any moment.
type Recorder struct {
	Application string `json:"application"`
	Name        string `json:"name"`
	State       string `json:"state"` // the engine's word
}

// Stream is one incoming stream.
type Stream struct {
	Application string `json:"application"`
	Name        string `json:"name"`
	Connected   bool   `json:"connected"`
}

// Busy lists the recorders that a stop would cut: all that are not stopped.
func (s State) Busy() []Recorder {
	var busy []Recorder
	for _, r := range s.Recorders {
		if !r.stopped() {
			busy = append(busy, r)
		}
	}
	return busy
}
