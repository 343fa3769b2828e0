// Package hosttest gives tests of the controller a host in this process: the agent's real
// protocol, the real handlers and the real transaction engine over a temporary folder.
// Only what a step does to a host is imitated, which installer/step tests, and systemd,
// which runs a transaction here as a goroutine.
package hosttest

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/host"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
)

// Host is one imitated host. Its fields may be set before it is first connected to.
type Host struct {
	Root     string
	Facts    facts.Facts
	Broken   map[step.KindName]error           // by kind: what Inspect of its steps fails with
	Fails    map[step.KindName]error           // by kind: what Apply of its steps fails with
	Disrupts map[step.KindName]step.Disruption // by kind
	Admits   map[step.KindName]bool            // by kind: sessions can begin once its steps are applied
	Hold     chan struct{}                     // if set, Apply waits until it is closed
	Crash    bool                              // systemd says that it runs transactions, and does not
	// Looks are kinds that only look, such as health: what is amiss, given a step's parameters.
	Looks map[step.KindName]func(params string) string
	// Engine is what the media engine does; nil: it is asked for real.
	Engine func() (wowza.State, error)
	// Asks are kinds whose steps ask who follows, if their parameters say that they do.
	Asks map[step.KindName]step.Question
	// Before stands between the host's calls and whoever asks; nil: nothing does.
	Before func(agent.Handlers) (agent.Handlers, error)
	// Started is told of a transaction that has begun. An error is that the answer is lost.
	Started func(txn.Request) error
	// Takes is what the host's apt would take from a bundle; nil: nothing.
	Takes func(agent.ProveRequest) ([]agent.PackageFile, error)
	// Fetches is how many bytes a step would fetch, by kind.
	Fetches map[step.KindName]int64
	// Reaches answers what the host asks the network; nil: it cannot ask.
	Reaches func(probe.Spec) probe.Verdict
	// Link is told of a call that has come in, and again before it is answered. An error is that
	// the call, or its answer, is lost: whoever returns one cuts the link (Cut).
	Link func(call string, answered bool) error
	// Tells is what a follower is told before what is so; nil: nothing.
	Tells func(event func(txn.Event) error) error
	// Loopback is agent.Handlers'.
	Loopback func(port int) (net.Listener, error)
	// Programs runs a program in place of the imitated systemd and nft; nil: they are imitated.
	Programs step.Runner

	t    testing.TB
	now  func() time.Time
	side host.Side

	mu      sync.Mutex
	calls   []string
	froms   []int64
	applied map[string]bool // by kind and parameters
	order   []step.KindName // kinds, as they were applied
	given   map[string][]byte
	links   []net.Conn
	running sync.WaitGroup
}

// New makes a bare host of Ubuntu 24.04.
func New(t testing.TB, now func() time.Time) *Host {
	t.Helper()
	root := t.TempDir()
	return NewIn(t, root, now, txn.NewStore(root, now))
}

// NewIn is New in a folder, which may be that of a host before, with a store of transactions below
// it that has a clock of its own.
func NewIn(t testing.TB, root string, now func() time.Time, store *txn.Store) *Host {
	t.Helper()
	h := &Host{
		Root: root, t: t, now: now, Broken: map[step.KindName]error{}, Fails: map[step.KindName]error{},
		Disrupts: map[step.KindName]step.Disruption{}, applied: map[string]bool{}, given: map[string][]byte{},
		Facts: facts.Facts{OS: facts.OS{ID: "ubuntu", VersionID: "24.04", Codename: "noble", Pretty: "Ubuntu 24.04"}, Arch: "amd64"},
	}
	h.side = host.Side{Kinds: h.kinds(), Now: now, Launcher: txn.Launcher{
		Store: store, Agent: "/valtctl", Root: h.Root, Run: systemd{h}}}
	for path, content := range bare() {
		h.Write(path, content)
	}
	t.Cleanup(h.running.Wait)
	return h
}

// bare is what the kernel and Ubuntu say on every host, as far as facts cannot do without.
func bare() map[string]string {
	return map[string]string{
		"/etc/os-release":                 "ID=ubuntu\nVERSION_ID=24.04\nVERSION_CODENAME=noble\n",
		"/proc/sys/kernel/random/boot_id": "0f0f0f0f-0000-4000-8000-000000000001\n",
		"/proc/self/mountinfo":            "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
		"/proc/uptime":                    "100.00 50.00\n",
		"/proc/meminfo":                   "MemTotal: 8000000 kB\n",
		"/sys/devices/system/cpu/online":  "0-3\n",
		"/proc/1/stat":                    "1 (systemd) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 1 1 1\n",
	}
}

// Write puts a file on the host.
func (h *Host) Write(path, content string) {
	h.t.Helper()
	full := filepath.Join(h.Root, path)
	err := os.MkdirAll(filepath.Dir(full), 0o755)
	if err == nil {
		err = os.WriteFile(full, []byte(content), 0o644)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// Connect starts an agent on the host and returns the channel to it.
func (h *Host) Connect(ctx context.Context) (io.ReadWriteCloser, error) {
	here, there := net.Pipe()
	h.mu.Lock()
	h.links = append(h.links, there)
	h.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	h.running.Go(func() { _ = agent.Serve(ctx, there, h.handlers()) }) // it ends with the link
	return here, nil
}

// Cut loses every connection there is.
func (h *Host) Cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.links {
		_ = l.Close()
	}
	h.links = nil
}

// Side is the host as its agent works on it.
func (h *Host) Side() *host.Side { return &h.side }

// Calls lists the calls since the last time it was asked, in order.
func (h *Host) Calls() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls := h.calls
	h.calls = nil
	return calls
}

// Followed lists the journal records from which following was begun.
func (h *Host) Followed() []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.froms)
}

// Changes is how many steps have changed the host.
func (h *Host) Changes() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.applied)
}

// Imitate adds kinds that package updater brings.
func (h *Host) Imitate(names ...step.KindName) {
	for _, name := range names {
		h.side.Kinds[name] = h.imitation(step.Kind{Name: name})
	}
}

// Applied lists the kinds of the steps that have changed the host, in order, since the last
// time it was asked.
func (h *Host) Applied() []step.KindName {
	h.mu.Lock()
	defer h.mu.Unlock()
	order := h.order
	h.order = nil
	return order
}

// SetEngine changes what the host says of its Docker engine while it is in use.
func (h *Host) SetEngine(e *facts.EngineFacts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Facts.Engine = e
}

// Secrets are those that the controller gave at last.
func (h *Host) Secrets() map[string][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.given
}

// Reboot loses what is in memory.
func (h *Host) Reboot() {
	h.t.Helper()
	if err := os.RemoveAll(filepath.Join(h.Root, "run")); err != nil {
		h.t.Fatal(err)
	}
}

// Transactions lists the host's transactions, newest first.
func (h *Host) Transactions() []txn.Summary {
	h.t.Helper()
	all, err := h.side.Launcher.Store.List(0)
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func (h *Host) called(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, name)
}
