package txn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
)

// gates are steps that hold something closed in their middle, which they must not leave so.
type gates struct {
	closed map[string]bool
	left   []string
	unable bool                                       // to leave
	middle func(ctx context.Context, id string) error // nil: nothing happens there
}

func (g *gates) kinds() step.Registry {
	return step.NewRegistry([]step.Kind{{Name: "gate", Way: step.OneWay, New: func(raw json.RawMessage) (step.Step, error) {
		var id string
		err := json.Unmarshal(raw, &id)
		return &holding{g, id}, err
	}}})
}

type holding struct {
	*gates
	id string
}

func (s *holding) Inspect(context.Context, *step.Machine) (step.Finding, error) {
	return step.Finding{Change: true, Disrupts: step.Nothing}, nil
}

func (s *holding) Apply(ctx context.Context, _ *step.Machine) error {
	s.closed[s.id] = true
	return s.middle(ctx, s.id)
}

func (s *holding) Leave(context.Context, *step.Machine) error {
	s.left = append(s.left, s.id)
	if s.unable {
		return errors.New("nft gives no answer")
	}
	delete(s.closed, s.id)
	return nil
}

// yielding begins a transaction of two of those steps.
func (h *fakeHost) yielding(g *gates, yields bool) string {
	h.t.Helper()
	r := Request{Schema: Schema, Site: "st-marys", Host: "media1", Release: "6.4.1", RunID: "d1", Who: "pat@laptop", Policy: Allow, Partial: true, Yields: yields}
	for _, id := range []string{"first", "second"} {
		r.Steps = append(r.Steps, step.Spec{ID: id, Kind: "gate", Title: "the gate " + id, Half: step.Apply, Params: json.RawMessage(fmt.Sprintf("%q", id))})
	}
	id, err := h.store().Create(r, nil, g.kinds())
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// isLeft wants a transaction to be over for a reason, and only what it began to be put right.
func (g *gates) isLeft(t *testing.T, result Result, err error, why string) {
	t.Helper()
	if err != nil || result.Outcome != Failed || !strings.Contains(fmt.Sprint(result.Err()), why) {
		t.Errorf("%+v, %v", result, err)
	}
	if len(g.closed) > 0 || !slices.Equal(g.left, []string{"first"}) {
		t.Errorf("%v is left closed, and %v was put right", g.closed, g.left)
	}
}

// What yields ends where it is, and leaves nothing closed: in the middle of a step that would wait on, and
// where a program that was killed had left it.
func TestWhatYieldsIsCalledOffWhereverItIs(t *testing.T) {
	t.Run("in a step's middle", func(t *testing.T) {
		h, g := newHost(t), &gates{closed: map[string]bool{}}
		id := h.yielding(g, true)
		g.middle = func(ctx context.Context, _ string) error {
			if s := h.summary(id); !s.Yields || s.State != StateRunning {
				t.Errorf("%+v", s)
			}
			h.callOff(id)
			<-ctx.Done()
			return ctx.Err()
		}
		result, err := h.store().Execute(t.Context(), id, h.machine(), g.kinds())
		g.isLeft(t, result, err, "aborted by pat")
	})
	t.Run("cut off in a step's middle", func(t *testing.T) {
		h, g := newHost(t), &gates{closed: map[string]bool{}}
		id := h.yielding(g, true)
		ctx, ends := context.WithCancel(t.Context())
		g.middle = func(ctx context.Context, _ string) error { ends(); return ctx.Err() }
		if result, err := h.store().Execute(ctx, id, h.machine(), g.kinds()); err != nil || result.Outcome != Interrupted || !g.closed["first"] {
			t.Fatalf("%+v, %v, %v", result, err, g.closed)
		}
		h.callOff(id)
		result, err := h.store().Execute(t.Context(), id, h.machine(), g.kinds())
		g.isLeft(t, result, err, "aborted by pat")
	})
}

// A transaction without a way back puts right what it leaves in its middle, whatever it fails of, and says
// so where it cannot.
func TestWhatFailsLeavesNothingInItsMiddle(t *testing.T) {
	h, g := newHost(t), &gates{closed: map[string]bool{}}
	g.middle = func(context.Context, string) error { return errors.New("recordings went on") }
	result, err := h.store().Execute(t.Context(), h.yielding(g, false), h.machine(), g.kinds())
	g.isLeft(t, result, err, "recordings went on")

	h, g = newHost(t), &gates{closed: map[string]bool{}, unable: true, middle: g.middle}
	result, err = h.store().Execute(t.Context(), h.yielding(g, false), h.machine(), g.kinds())
	if text := fmt.Sprint(result.Err()); err != nil || !strings.Contains(text, "recordings went on") || !strings.Contains(text, "leaving the gate first: nft gives no answer") {
		t.Errorf("%v, %v", result.Err(), err)
	}
}

// What does not say that it yields is in no step's middle called off.
func TestOnlyWhatYieldsIsCalledOff(t *testing.T) {
	h, g := newHost(t), &gates{closed: map[string]bool{}}
	id := h.yielding(g, false)
	g.middle = func(ctx context.Context, _ string) error {
		if err := h.store().Confirm(id, "aborted by pat"); err == nil {
			t.Error("it was called off")
		}
		return ctx.Err()
	}
	if result, err := h.store().Execute(t.Context(), id, h.machine(), g.kinds()); err != nil || strings.Contains(fmt.Sprint(result.Err()), "aborted") {
		t.Errorf("%+v, %v", result, err)
	}
	r := Request{Schema: Schema, Host: "media1", Policy: Allow, Confirm: "1m", Yields: true,
		Steps: []step.Spec{{ID: "first", Kind: "gate", Half: step.Apply, Params: json.RawMessage(`"first"`)}}}
	if _, err := newHost(t).store().Create(r, nil, g.kinds()); err == nil || !strings.Contains(err.Error(), "yields") {
		t.Errorf("what can be taken back yields: %v", err)
	}
}
