package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// Limits are what one side of a session takes of the other. What goes beyond ends the session
// with an error that names it, since no valtctl sends as much.
type Limits struct {
	Message int    // bytes of one message of the calls
	Values  int    // of JSON in one message: a list of many small things takes far more memory than bytes
	Calls   int    // that wait for their answer
	Waiting int    // bytes of the requests that do
	Streams int    // open at a time
	Window  uint32 // bytes that one stream keeps unread (yamux, "Window Update"); 256 KiB at least
}

// OfAHost is what a controller takes of a host. What hosts send in bulk is logs and lists.
func OfAHost() Limits {
	return Limits{Message: MaxMessage, Values: maxValues, Calls: 256, Waiting: 4 * MaxMessage, Streams: 48, Window: 512 << 10}
}

// OfAController is what a host takes of a person's controller, which may do what root may. A
// bundle's bytes come over its streams: 4 MiB unread are 50 MB/s over a link of 80 ms.
func OfAController() Limits {
	return Limits{Message: MaxMessage, Values: maxValues, Calls: 64, Waiting: 4 * MaxMessage, Streams: 256, Window: 4 << 20}
}

// OfAStranger is what a host takes of whoever has the key of unattended runs.
func OfAStranger() Limits {
	return Limits{Message: 2 << 20, Values: maxValues / 4, Calls: 32, Waiting: 4 << 20, Streams: 64, Window: 256 << 10}
}

// MaxMessage is the largest message of the calls that either side takes, in bytes: what a host
// has, with its whole list of packages, is a few of these MiB.
const MaxMessage = 8 << 20

// maxValues is how many values of JSON a message may hold: a host's packages are some thousands,
// with four values each.
const maxValues = 200_000

// maxLine caps one line of a call that is answered by lines, in bytes, above what a journal's
// line and a part of an archive for support are.
const maxLine = 4 << 20

// ErrTooMuch is wrapped by the errors of a side that sent more than is taken of it.
var ErrTooMuch = errors.New("the other side sends more than is taken of it")

func tooMuch(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTooMuch, fmt.Sprintf(format, args...))
}

// values counts the values of a JSON text from above: by what stands between them.
func values(text []byte) int {
	n, quoted := 1, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':' || c == '[' || c == '{'):
			n++
		}
	}
	return n
}

// ledger is what was asked and not answered yet, so that neither side holds more than the
// limits allow: jrpc2 reads on whatever waits already.
type ledger struct {
	limits Limits
	asks   bool // this side asks, and the other answers

	mu      sync.Mutex
	open    map[string]int // bytes of the request by its id
	waiting int            // bytes of all
	notes   int            // notifications that have not been heeded
}

func newLedger(l Limits, asks bool) *ledger {
	return &ledger{limits: l, asks: asks, open: map[string]int{}}
}

// envelope is what of a message tells a request from an answer.
type envelope struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
}

// sent takes note of a message that goes out.
func (l *ledger) sent(msg []byte) {
	var e envelope
	if json.Unmarshal(msg, &e) != nil || len(e.ID) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asks {
		l.open[string(e.ID)] = 0 // what the other side keeps of it is its own affair
		return
	}
	l.waiting -= l.open[string(e.ID)]
	delete(l.open, string(e.ID))
}

// came judges a message that came in.
func (l *ledger) came(msg []byte) error {
	if n := values(msg); n > l.limits.Values {
		return tooMuch("a message of %d values, and at most %d are taken", n, l.limits.Values)
	}
	var e envelope
	if err := json.Unmarshal(msg, &e); err != nil { // a list of messages is none: nobody sends one
		return fmt.Errorf("reading a message: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asks {
		return l.answered(e)
	}
	return l.asked(e, len(msg))
}

func (l *ledger) answered(e envelope) error {
	if _, ok := l.open[string(e.ID)]; !ok || e.Method != "" {
		return tooMuch("an answer to %.40q, which was not asked", e.ID)
	}
	delete(l.open, string(e.ID))
	return nil
}

func (l *ledger) asked(e envelope, size int) error {
	switch _, twice := l.open[string(e.ID)]; {
	case twice:
		return tooMuch("the request %.40q twice", e.ID)
	case len(l.open)+l.notes == l.limits.Calls:
		return tooMuch("a call while %d wait for their answer, and no more may", l.limits.Calls)
	case l.waiting+size > l.limits.Waiting:
		return tooMuch("a request of %d bytes while %d bytes of others wait for their answer, and at most %d may", size, l.waiting, l.limits.Waiting)
	case len(e.ID) > 0:
		l.open[string(e.ID)], l.waiting = size, l.waiting+size
	case e.Method == methodCancel:
		l.notes++
	default:
		return tooMuch("a notification %.40q, which nobody takes", e.Method)
	}
	return nil
}

// heeded takes note that a notification was done with.
func (l *ledger) heeded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = max(0, l.notes-1) // of what only jrpc2 takes for one, none was counted
}
