// Package step is the contract of the steps that a transaction is made of, and what they are
// built from: running a program, writing a file, keeping what it was. A step is one
// idempotent change on one host: Inspect says whether and how the host differs from what is
// wanted, without changing anything; Apply brings it there. The steps themselves are in the
// rooms below (files, docker, apt, system, firewall); they know nothing of order, journals or
// other hosts (installer/txn, installer/plan).
package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/docker/docker/client"

	"ipivs.com/valtctl/repos/safepath"
)

// Half is the half of a transaction a step runs in (design.md).
type Half string

// Fetch may use the network and secrets from outside and changes nothing that
// serves; Apply uses neither, so that a host finishes it alone.
const (
	Fetch Half = "fetch"
	Apply Half = "apply"
)

// Disruption is what applying a step interrupts.
type Disruption string

// From least to most.
const (
	Nothing   Disruption = "nothing"
	Container Disruption = "container"
	Engine    Disruption = "engine"
	Host      Disruption = "host"
)

// KindName names a kind of steps, as plans, journals and reports write it. Whoever wants to
// know what a step is asks its kind: an id is unique in its plan, and says nothing more.
type KindName string

// Spec is one planned step as it travels from the controller to the host.
type Spec struct {
	ID       string          `json:"id"` // unique in the host's plan: "image/web"
	Kind     KindName        `json:"kind"`
	Title    string          `json:"title"` // for people: "image docker.ipivs.com/valt/web"
	Half     Half            `json:"half"`
	Disrupts Disruption      `json:"disrupts"`        // at worst
	Needs    []string        `json:"needs,omitempty"` // not run unless these were done
	Params   json.RawMessage `json:"params"`
}

// Kind makes steps of one kind from a Spec's parameters. New rejects parameters
// that it does not know. Way is how a change of such a step is taken back where the step
// finds nothing else: reversible ones are Undoers, and no others are.
type Kind struct {
	Name KindName
	Way  Way
	New  func(params json.RawMessage) (Step, error)
}

// Step is one idempotent change on one host.
type Step interface {
	// Inspect compares the host with what is wanted. It changes nothing and
	// must also work where what it needs (an engine, a package) is yet to come.
	Inspect(ctx context.Context, h *Machine) (Finding, error)
	// Apply brings the host to what is wanted. After it, Inspect finds no change.
	Apply(ctx context.Context, h *Machine) error
}

// Undoer is a Step whose Apply can be taken back. In a transaction that has a way back
// the engine gives each step a folder of its own (Machine.Keep): Apply keeps there what
// Undo needs before it changes anything. Undo may be called again after it was cut off
// anywhere, and without anything kept it has nothing to do. A step that has nothing to
// take back (it only looks, or what it brings harms nobody) says so with an Undo that
// returns nil; a Kind whose steps have none says OneWay or RestoreOnly.
type Undoer interface {
	Undo(ctx context.Context, h *Machine) error
}

// Roomy is a Step whose way back writes more to the system's disk than a few small files, such as
// packages that are unpacked once more. Room is how many bytes that takes at most. A transaction
// sets as much aside before it changes anything, since a disk may run full at any moment.
type Roomy interface {
	Room(h *Machine) (int64, error)
}

// Admitter is a Step that keeps something out until the transaction is confirmed: a gate that
// is closed. Admit lets it in again. It may be called again, and comes before any Settle:
// that the host serves is worth more than that it is tidy.
type Admitter interface {
	Admit(ctx context.Context, h *Machine) error
}

// Leaver is a Step that must not be left in its middle by a transaction without a way back, which ends
// where something failed or where it was called off: a gate that nobody would open. Leave is called then
// for a step that began, also in an execution before; what the step has done to its end it leaves alone.
type Leaver interface {
	Leave(ctx context.Context, h *Machine) error
}

// Settler is a Step that keeps something until the transaction is confirmed: a container set
// aside, images without use. Settle lets go of it. It may be called again, and where it fails
// what was kept stays and is told: nothing that was confirmed depends on it.
type Settler interface {
	Settle(ctx context.Context, h *Machine) error
}

// ErrNotDrained says that sessions went on until the deadline: the host is left as it
// was, and skipped.
var ErrNotDrained = errors.New("recordings go on")

// Way is whether and how a step's change can be taken back.
type Way string

// The ways back.
const (
	Reversible  Way = "reversible"
	RestoreOnly Way = "restore only" // from a backup
	OneWay      Way = "one way"
)

// WayBack is how a change of a step of the kind can be taken back: what the step found,
// else what holds for all of its kind.
func WayBack(k Kind, f Finding) Way {
	if f.Way != "" {
		return f.Way
	}
	return k.Way
}

// Finding is what Inspect saw.
type Finding struct {
	Change   bool       `json:"change"`
	Diff     string     `json:"diff,omitempty"`     // lines with + and -, no secrets
	Disrupts Disruption `json:"disrupts,omitempty"` // what Apply would interrupt now
	Admits   bool       `json:"admits,omitempty"`   // after Apply sessions can begin that could not before
	Way      Way        `json:"way,omitempty"`      // back; empty: its Kind says it
	Fetch    int64      `json:"fetch,omitempty"`    // bytes that Apply would fetch, where known
	Notes    []string   `json:"notes,omitempty"`    // what a person should know
}

// ErrSecretGone is why a secret cannot be had: it came with the run, and the run's
// folder did not survive (a reboot) or its fetch half is over.
var ErrSecretGone = errors.New("this secret is no longer on the host")

// Machine is the host as steps see it.
type Machine struct {
	Root     string // "" on a real host; a folder in tests, put before every path
	Run      Runner
	Secret   func(name string) ([]byte, error) // a secret of this run; never logged
	Progress func(Progress)
	Now      func() time.Time
	BootID   string
	// Keep is the step's own folder for what its Undo needs, below Root already (no
	// Path around it); it may have to be made. Empty: the change is for good.
	Keep string
	// Tell, if set, is given what a person should know of a change that failed nothing.
	Tell func(text string)
	// Memo is what steps remember of the host, for others of this process to find.
	Memo sync.Map

	docker sync.Once
	engine *client.Client
	engErr error
}

// Progress is how far a long step is. Total is 0 where it is not known.
type Progress struct {
	Step  string `json:"step"`
	Text  string `json:"text,omitempty"`
	Done  int64  `json:"done"`  // bytes
	Total int64  `json:"total"` // bytes
	// Confirm asks who follows a question; an Answer that has it goes back (HandAnswer).
	Confirm  string   `json:"confirm,omitempty"`
	Question Question `json:"question,omitempty"`
}

// Runner runs a program on the host. Argv is never text for a shell.
type Runner interface {
	Run(ctx context.Context, c Command) (Output, error)
}

// Command is one program run. Env replaces the environment when not nil; Stdin is
// empty unless given.
type Command struct {
	Argv  []string
	Env   []string
	Stdin []byte
	// Line, if set, gets each line of standard output and error as it comes.
	Line func(line string)
	// Status, if set, gets each line that the program writes to file descriptor 3.
	Status func(line string)
	// Within is how long the program may take; then it is ended, and the error says so. 0 is
	// ten minutes: enough for whatever only answers, or has systemd do something.
	Within time.Duration
}

// Output is what a finished program left. Err of Run is nil only for exit code 0;
// otherwise it holds the last lines of standard error.
type Output struct {
	Stdout []byte
	Stderr []byte
	Code   int
}

// Path is where a path of the host is for this process.
func (m *Machine) Path(p string) string { return m.Root + p }

// Files are the host's, opened so that nobody but root leads root anywhere.
func (m *Machine) Files() safepath.Tree { return safepath.Under(m.Root) }

// Docker is the client of the host's engine at its default socket. It does not
// dial: a missing engine shows at the first call. Every call has a deadline, that of stopping
// a container by the time that the caller gives it (StopOptions.Timeout).
func (m *Machine) Docker() (*client.Client, error) {
	m.docker.Do(func() {
		m.engine, m.engErr = engineClient(m.Path("/var/run/docker.sock"))
	})
	return m.engine, m.engErr
}

// Report passes progress on, if anybody listens.
func (m *Machine) Report(p Progress) {
	if m.Progress != nil {
		m.Progress(p)
	}
}

// Told passes on what a person should know, if anybody listens.
func (m *Machine) Told(text string) {
	if m.Tell != nil {
		m.Tell(text)
	}
}

// Registry finds kinds by name.
type Registry map[KindName]Kind

// NewRegistry makes a Registry of the kinds given.
func NewRegistry(kinds []Kind) Registry {
	r := make(Registry, len(kinds))
	for _, k := range kinds {
		r[k.Name] = k
	}
	return r
}

// Make builds the step of a spec. An unknown kind or parameter is an error.
func (r Registry) Make(s Spec) (Step, error) {
	k, ok := r[s.Kind]
	if !ok {
		return nil, fmt.Errorf("making step %s: this valtctl knows no step kind %q", s.ID, s.Kind)
	}
	made, err := k.New(s.Params)
	if err != nil {
		return nil, fmt.Errorf("making step %s: %w", s.ID, err)
	}
	return made, nil
}
