// Package hosttest gives tests of the controller a host in this process: the agent's real
// protocol, the real handlers and the real transaction engine over a temporary folder.
// Only what a step does to a host is imitated, which installer/step tests, and systemd,
// which runs a transaction here as a goroutine.
package hosttest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/host"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/firewall"
	"ipivs.com/valtctl/installer/step/kinds"
	"ipivs.com/valtctl/installer/step/nft"
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

// handlers are the real ones, counted. Facts are those given, beside what the real
// handlers know of transactions and releases.
func (h *Host) handlers() agent.Handlers {
	own := h.own()
	if h.Before == nil {
		return own
	}
	before, err := h.Before(own)
	if err != nil {
		h.t.Error(err)
	}
	return before
}

// own are the host's calls without anything before them.
func (h *Host) own() agent.Handlers {
	real := h.side.Handlers()
	if h.Engine != nil {
		real.Engine = func(context.Context, wowza.Access) (wowza.State, error) { return h.Engine() }
	}
	return agent.Handlers{
		Loopback: h.Loopback,
		Probe:    h.probe(),
		Facts: counted(h, "facts", func(ctx context.Context, r agent.FactsRequest) (agent.FactsReply, error) {
			return h.facts(ctx, r, real)
		}),
		Inspect: counted(h, "inspect", real.Inspect),
		TxnStart: counted(h, "start", func(ctx context.Context, r agent.TxnStartRequest) (agent.TxnReply, error) {
			h.remember(r.Secrets)
			reply, err := real.TxnStart(ctx, r)
			if err == nil && h.Started != nil {
				err = h.Started(r.Request)
			}
			return reply, err
		}),
		TxnRestart: counted(h, "restart", func(ctx context.Context, r agent.TxnRestartRequest) (agent.TxnReply, error) {
			h.remember(r.Secrets)
			return real.TxnRestart(ctx, r)
		}),
		Lease:      linked(h, "lease", real.Lease),
		Solve:      real.Solve,
		Prove:      counted(h, "prove", h.prove),
		TxnConfirm: linked(h, "keep", real.TxnConfirm),
		Engine:     linked(h, "engine", real.Engine),
		Support:    real.Support,
		Revoke:     counted(h, "revoke", real.Revoke),
		TxnList:    counted(h, "list", real.TxnList),
		TxnFollow: func(ctx context.Context, r agent.TxnFollowRequest, event func(txn.Event) error) (agent.TxnFollowReply, error) {
			h.mu.Lock()
			h.froms = append(h.froms, r.From)
			h.mu.Unlock()
			return counted(h, "follow", func(ctx context.Context, r agent.TxnFollowRequest) (agent.TxnFollowReply, error) {
				if h.Tells != nil {
					if err := h.Tells(event); err != nil {
						return agent.TxnFollowReply{}, err
					}
				}
				return real.TxnFollow(ctx, r, event)
			})(ctx, r)
		},
		Answer: counted(h, "confirm", real.Answer),
		Logs: func(_ context.Context, r agent.LogsRequest, out io.Writer) error {
			h.called("logs")
			_, err := io.WriteString(out, "log of "+r.Name+"\n")
			return err
		},
	}
}

// counted is a call that Calls lists.
func counted[Req, Reply any](h *Host, name string, do func(context.Context, Req) (Reply, error)) func(context.Context, Req) (Reply, error) {
	over := linked(h, name, do)
	return func(ctx context.Context, r Req) (Reply, error) {
		h.called(name)
		return over(ctx, r)
	}
}

// linked is a call as it comes over the link, which may lose it or its answer.
func linked[Req, Reply any](h *Host, name string, do func(context.Context, Req) (Reply, error)) func(context.Context, Req) (Reply, error) {
	return func(ctx context.Context, r Req) (reply Reply, err error) {
		if h.Link == nil {
			return do(ctx, r)
		}
		if err := h.Link(name, false); err != nil {
			return reply, err
		}
		reply, err = do(ctx, r)
		if lost := h.Link(name, true); lost != nil {
			return reply, lost
		}
		return reply, err
	}
}

func (h *Host) prove(_ context.Context, r agent.ProveRequest) (agent.ProveReply, error) {
	if h.Takes == nil {
		return agent.ProveReply{}, nil
	}
	files, err := h.Takes(r)
	return agent.ProveReply{Files: files}, err
}

func (h *Host) probe() func(context.Context, probe.Request, func(probe.Outcome) error) error {
	if h.Reaches == nil {
		return nil
	}
	return func(_ context.Context, r probe.Request, outcome func(probe.Outcome) error) error {
		for _, s := range r.Specs {
			if err := outcome(probe.Outcome{ID: s.ID, Verdict: h.Reaches(s), Cause: "as imitated"}); err != nil {
				return err
			}
		}
		return nil
	}
}

func (h *Host) remember(secrets map[string][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.given = secrets
}

// facts is the real answer with the given facts and the host's own memory of what it is.
func (h *Host) facts(ctx context.Context, r agent.FactsRequest, real agent.Handlers) (agent.FactsReply, error) {
	reply, err := real.Facts(ctx, r)
	if err != nil {
		return reply, err
	}
	installed, closed := reply.Facts.Installed, reply.Facts.GateClosed
	h.mu.Lock()
	defer h.mu.Unlock()
	reply.Facts = h.Facts
	if reply.Facts.Installed == nil {
		reply.Facts.Installed = installed
	}
	reply.Facts.GateClosed = reply.Facts.GateClosed || closed
	return reply, nil
}

// systemd runs a transaction's unit as a goroutine, which outlives connections.
type systemd struct{ h *Host }

func (s systemd) Run(ctx context.Context, c step.Command) (step.Output, error) {
	h := s.h
	if h.Programs != nil {
		return h.Programs.Run(ctx, c)
	}
	if c.Argv[0] == nft.Program { // whatever was loaded is in force
		if slices.Contains(c.Argv, "tables") {
			return step.Output{Stdout: []byte("table inet valtctl\n")}, nil
		}
		return step.Output{Stdout: []byte("table inet valtctl {\n}\n")}, nil
	}
	if c.Argv[0] != "systemd-run" || !slices.Contains(c.Argv, "txn-run") || h.Crash {
		return step.Output{}, nil
	}
	id := c.Argv[len(c.Argv)-1]
	ctx = context.WithoutCancel(ctx)
	h.running.Go(func() {
		m := &step.Machine{Root: h.Root, Run: s, Now: h.now, BootID: "boot"}
		if _, err := h.side.Launcher.Execute(ctx, id, m, h.side.Kinds); err != nil {
			h.t.Errorf("running transaction %s: %v", id, err)
		}
	})
	return step.Output{}, nil
}

// kinds has every kind, without effect. A firewall is the real one over
// the imitated nft, since it speaks with the controller.
func (h *Host) kinds() step.Registry {
	var all []step.Kind
	for _, k := range kinds.All() {
		all = append(all, h.imitation(k))
	}
	return step.NewRegistry(all)
}

func (h *Host) imitation(k step.Kind) step.Kind {
	return step.Kind{Name: k.Name, New: func(raw json.RawMessage) (step.Step, error) {
		var params bytes.Buffer // without the indentation that a request's file has
		err := json.Compact(&params, raw)
		if k.Name == firewall.KindFirewall && params.String() != "{}" {
			return k.New(raw)
		}
		return imitated{h, k.Name, params.String()}, err
	}}
}

// imitated is a step that remembers that it was applied.
type imitated struct {
	h      *Host
	kind   step.KindName
	params string
}

func (s imitated) Inspect(context.Context, *step.Machine) (step.Finding, error) {
	if err := s.h.Broken[s.kind]; err != nil {
		return step.Finding{}, err
	}
	if look := s.h.Looks[s.kind]; look != nil {
		if amiss := look(s.params); amiss != "" {
			return step.Finding{Change: true, Diff: "- " + amiss + "\n", Disrupts: step.Nothing}, nil
		}
		return step.Finding{}, nil
	}
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.h.applied[string(s.kind)+s.params] {
		return step.Finding{}, nil
	}
	disrupts := s.h.Disrupts[s.kind]
	if disrupts == "" {
		disrupts = step.Nothing
	}
	return step.Finding{Change: true, Diff: "+ " + string(s.kind) + "\n", Fetch: s.h.Fetches[s.kind], Disrupts: disrupts, Admits: s.h.Admits[s.kind]}, nil
}

func (s imitated) Apply(ctx context.Context, m *step.Machine) error {
	if q := s.h.Asks[s.kind]; q != "" && strings.Contains(s.params, `"ask_`) {
		if refused, err := step.Ask(ctx, m, q, "asking", time.Minute); err != nil || refused != "" {
			return errors.Join(err, fmt.Errorf("%w: %s", step.ErrNotDrained, refused))
		}
	}
	if s.h.Hold != nil {
		select {
		case <-s.h.Hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := s.h.Fails[s.kind]; err != nil {
		return err
	}
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.h.applied[string(s.kind)+s.params] = true
	s.h.order = append(s.h.order, s.kind)
	return nil
}
