package installer

// EventKind says what an Event is about.
type EventKind string

// The kinds of events, in the order a host goes through them.
const (
	EventConnect  EventKind = "connect"  // connecting; Done and Total while the agent is uploaded
	EventFacts    EventKind = "facts"    // the host's facts are known
	EventInspect  EventKind = "inspect"  // the host compared itself with the plan; Text counts
	EventStart    EventKind = "start"    // the transaction runs; Text is its id
	EventStep     EventKind = "step"     // a step went on: Step, Title, Text its new state
	EventProgress EventKind = "progress" // a long step's bytes
	EventLost     EventKind = "lost"     // the connection is gone; the host goes on
	EventNote     EventKind = "note"     // something a person should know
	EventCarried  EventKind = "carried"  // of a bundle's blob, whose digest is Text, hosts took Done bytes
	EventDone     EventKind = "done"     // the host is finished; Text is the outcome

	// Of rollouts. EventProgress of the whole run says how far it is.
	EventWave  EventKind = "wave"  // a wave begins; Text names its hosts, Index and Count place it
	EventBegin EventKind = "begin" // a host's part begins
	EventHalt  EventKind = "halt"  // no host is started any more; Text is why
)

// Event is one thing that happened. Host is empty for what concerns the whole run.
type Event struct {
	Kind  EventKind `json:"kind"`
	Host  string    `json:"host,omitempty"`
	Step  string    `json:"step,omitempty"`
	Title string    `json:"title,omitempty"`
	Text  string    `json:"text,omitempty"`
	Done  int64     `json:"done,omitempty"`  // bytes
	Total int64     `json:"total,omitempty"` // bytes; 0: not known
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
