// Package event is what a run tells while it goes on: one Event for each thing that
// happened, handed to an Observer, which prints or keeps it. Nothing below cmd prints.
package event

import "ipivs.com/valtctl/installer/step"

// Kind says what an Event is about.
type Kind string

// The kinds of events, in the order a host goes through them.
const (
	Connect  Kind = "connect"  // connecting; Done and Total while the agent is uploaded
	Facts    Kind = "facts"    // the host's facts are known
	Inspect  Kind = "inspect"  // the host compared itself with the plan; Text counts
	Start    Kind = "start"    // the transaction runs; Text is its id
	Step     Kind = "step"     // a step went on: Step, Title, Text its new state
	Progress Kind = "progress" // a long step's bytes
	Lost     Kind = "lost"     // the connection is gone; the host goes on
	Note     Kind = "note"     // something a person should know
	Carried  Kind = "carried"  // of a bundle's blob, whose digest is Text, hosts took Done bytes
	Done     Kind = "done"     // the host is finished; Text is the outcome

	// Of rollouts. Progress of the whole run says how far it is.
	Wave  Kind = "wave"  // a wave begins; Text names its hosts, Index and Count place it
	Begin Kind = "begin" // a host's part begins
	Halt  Kind = "halt"  // no host is started any more; Text is why
)

// Event is one thing that happened. Host is empty for what concerns the whole run.
type Event struct {
	Kind Kind   `json:"kind"`
	Host string `json:"host,omitempty"`
	Step string `json:"step,omitempty"`
	// StepKind is what Step does.
	StepKind step.KindName `json:"step_kind,omitempty"`
	Title    string        `json:"title,omitempty"`
	Text     string        `json:"text,omitempty"`
	Done     int64         `json:"done,omitempty"`  // bytes
	Total    int64         `json:"total,omitempty"` // bytes; 0: not known
	// Index and Count place a step among its transaction's steps, from 1.
	Index int `json:"index,omitempty"`
	Count int `json:"count,omitempty"`
}

// Observer is told of events, from several goroutines at once.
type Observer interface {
	Observe(Event)
}

// Silent is an Observer that forgets.
type Silent struct{}

// Observe forgets e.
func (Silent) Observe(Event) {}
