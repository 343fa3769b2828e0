package txn

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
)

// crash is the panic that stands for SIGKILL: what was written stays, nothing runs on.
type crash struct{}

// fakeHost is a host whose state survives crashes. Each look at the clock and each begin,
// middle and end of a step is a moment at which it may be made to crash.
type fakeHost struct {
	t       testing.TB
	root    string
	state   map[string]string
	applies map[string]int
	moment  int
	crashAt int // 0: never
	boot    string
	broken  map[string]error // by key: what Apply fails with
	stuck   map[string]bool  // by key: Apply changes nothing
	during  map[string]func()
	unable  map[string]bool  // by key: Undo fails
	rooms   map[string]int64 // by key: what Undo writes
	undoing func()           // called when Undo begins
	waiting func()           // called while a transaction waits to be confirmed
	settled map[string]int
}

// memoryDir is a temporary folder in memory where there is one: thousands of records are
// synced here, and it is not the disk that is tested.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "valtctl-txn-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newHost(t testing.TB) *fakeHost {
	return &fakeHost{
		t: t, root: memoryDir(t), state: map[string]string{}, applies: map[string]int{}, boot: "boot-1",
		broken: map[string]error{}, stuck: map[string]bool{}, during: map[string]func(){},
		unable: map[string]bool{}, settled: map[string]int{},
	}
}

// tick is one moment.
func (h *fakeHost) tick() {
	h.moment++
	if h.moment == h.crashAt {
		panic(crash{})
	}
}

func (h *fakeHost) now() time.Time {
	h.tick()
	return time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC).Add(time.Duration(h.moment) * time.Second)
}

// store's boot clock goes on by the moments, and a pause takes none.
func (h *fakeHost) store() *Store {
	s := NewStore(h.root, h.now)
	s.uptime = func() (time.Duration, error) { return time.Duration(h.tickClock()) * time.Second, nil }
	s.pause = func(context.Context, time.Duration) error {
		if h.waiting != nil {
			h.waiting()
		}
		return nil
	}
	return s
}

func (h *fakeHost) tickClock() int {
	h.tick()
	return h.moment
}

// reboot forgets what is in memory.
func (h *fakeHost) reboot() {
	h.t.Helper()
	h.boot += "+"
	if err := os.RemoveAll(filepath.Join(h.root, "run")); err != nil {
		h.t.Fatal(err)
	}
}

// setParams make a step that sets a key of the fake host, perhaps to a secret.
type setParams struct {
	Key      string          `json:"key"`
	Value    string          `json:"value,omitempty"`
	Secret   string          `json:"secret,omitempty"`
	Disrupts step.Disruption `json:"disrupts,omitempty"`
}

type set struct {
	setParams
	h *fakeHost
}

// kinds are "set", and "swap", which can be undone and settled.
func (h *fakeHost) kinds() step.Registry {
	parse := func(raw json.RawMessage) (*set, error) {
		var p setParams
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, err
		}
		if p.Key == "" {
			return nil, errors.New("a step without a key")
		}
		return &set{p, h}, nil
	}
	return step.NewRegistry([]step.Kind{
		{Name: "set", New: func(raw json.RawMessage) (step.Step, error) { return parse(raw) }},
		{Name: "swap", New: func(raw json.RawMessage) (step.Step, error) {
			s, err := parse(raw)
			return &swap{s}, err
		}},
	})
}

// swap is a set that keeps what was before.
type swap struct{ *set }

func (s *swap) Apply(ctx context.Context, m *step.Machine) error {
	if m.Keep != "" {
		was := filepath.Join(m.Keep, "was")
		noted, err := durable.IsThere(was)
		if err != nil {
			return err
		}
		if !noted {
			if err := errors.Join(durable.MkdirAll(m.Keep, 0o700), durable.WriteFile(was, []byte(s.h.state[s.Key]), 0o600)); err != nil {
				return err
			}
		}
		s.h.tick()
	}
	return s.set.Apply(ctx, m)
}

func (s *swap) Room(*step.Machine) (int64, error) { return s.h.rooms[s.Key], nil }

func (s *swap) Undo(_ context.Context, m *step.Machine) error {
	s.h.tick()
	if s.h.undoing != nil {
		s.h.undoing()
	}
	was, err := os.ReadFile(filepath.Join(m.Keep, "was"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil || s.h.unable[s.Key] {
		return errors.Join(err, errors.New("it is stuck"))
	}
	s.h.state[s.Key] = string(was)
	s.h.tick()
	return nil
}

func (s *swap) Settle(context.Context, *step.Machine) error {
	s.h.tick()
	s.h.settled[s.Key]++
	return nil
}

func (s *set) wanted(m *step.Machine) (string, error) {
	if s.Secret == "" {
		return s.Value, nil
	}
	content, err := m.Secret(s.Secret)
	return string(content), err
}

func (s *set) Inspect(_ context.Context, m *step.Machine) (step.Finding, error) {
	s.h.tick()
	want, err := s.wanted(m)
	if err != nil {
		return step.Finding{}, err
	}
	disrupts := s.Disrupts
	if disrupts == "" {
		disrupts = step.Nothing
	}
	return step.Finding{Change: s.h.state[s.Key] != want, Diff: "+" + s.Key, Disrupts: disrupts}, nil
}

func (s *set) Apply(_ context.Context, m *step.Machine) error {
	s.h.tick()
	s.h.applies[s.Key]++
	want, err := s.wanted(m)
	if err != nil {
		return err
	}
	if f := s.h.during[s.Key]; f != nil {
		f()
	}
	if err := s.h.broken[s.Key]; err != nil {
		return err
	}
	if s.h.stuck[s.Key] {
		return nil
	}
	m.Report(step.Progress{Step: s.Key, Done: 1, Total: 2})
	s.h.state[s.Key] = "half"
	s.h.tick()
	s.h.state[s.Key] = want
	s.h.tick()
	return nil
}

func spec(t testing.TB, half step.Half, p setParams, needs ...string) step.Spec {
	t.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return step.Spec{ID: p.Key, Kind: "set", Title: "key " + p.Key, Half: half, Disrupts: step.Nothing, Needs: needs, Params: raw}
}

// install is a request of two steps a half, one with a secret.
func install(t testing.TB) (Request, map[string][]byte) {
	t.Helper()
	return Request{
		Schema: Schema, Site: "st-marys", Host: "app1", Roles: []string{"app"}, Release: "6.4.2",
		PlanDigest: "abc", RunID: "run-1", Who: "pat@laptop", Policy: Allow,
		Steps: []step.Spec{
			spec(t, step.Fetch, setParams{Key: "packages", Value: "1.2"}),
			spec(t, step.Fetch, setParams{Key: "licence", Secret: "licence"}, "packages"),
			spec(t, step.Apply, setParams{Key: "container", Value: "web"}, "packages", "licence"),
			spec(t, step.Apply, setParams{Key: "unit", Value: "on"}, "container"),
		},
	}, map[string][]byte{"licence": []byte("KEY-1234")}
}

func (h *fakeHost) create(r Request, secrets map[string][]byte) string {
	h.t.Helper()
	id, err := h.store().Create(r, secrets, h.kinds())
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *fakeHost) machine() *step.Machine { return &step.Machine{Root: h.root, BootID: h.boot} }

// execute runs a transaction, and says whether it crashed.
func (h *fakeHost) execute(id string) (result Result, crashed bool) {
	h.t.Helper()
	defer func() {
		if p := recover(); p != nil {
			if _, ours := p.(crash); !ours {
				panic(p)
			}
			crashed = true
		}
	}()
	result, err := h.store().Execute(h.t.Context(), id, h.machine(), h.kinds())
	if err != nil {
		h.t.Fatal(err)
	}
	return result, false
}

// finish is execute without a crash.
func (h *fakeHost) finish(id string) Result {
	h.t.Helper()
	result, crashed := h.execute(id)
	if crashed {
		h.t.Fatal("it crashed")
	}
	return result
}

func (h *fakeHost) summary(id string) Summary {
	h.t.Helper()
	s, err := h.store().Summary(id)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// same compares the host's state with what is wanted.
func (h *fakeHost) same(want map[string]string) {
	h.t.Helper()
	if !maps.Equal(h.state, want) {
		h.t.Errorf("the host is %v, not %v", h.state, want)
	}
}

// installed is the state that install leads to.
func installed() map[string]string {
	return map[string]string{"packages": "1.2", "licence": "KEY-1234", "container": "web", "unit": "on"}
}

// Journal is a transaction's records, checked. A torn last line is told.
func (s *Store) Journal(id string) ([]journal.Record, *journal.Torn, error) {
	return journal.ReadFile(s.journalFile(id))
}
