package txn

import (
	"context"
	"errors"
	"slices"
	"testing"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
)

// follow collects the sequence numbers that a follower is handed.
func (h *fakeHost) follow(id string, from int64) (seqs []int64, progress int, result Result) {
	h.t.Helper()
	result, err := NewStore(h.root, nil).Follow(h.t.Context(), id, from, func(e Event) error {
		if e.Record != nil {
			seqs = append(seqs, e.Record.Seq)
		} else {
			progress++
		}
		return nil
	})
	if err != nil {
		h.t.Error(err)
	}
	return seqs, progress, result
}

func TestAFollowerSeesEverythingToTheEnd(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	seen := make(chan struct{})
	type followed struct {
		seqs     []int64
		progress int
		result   Result
	}
	done := make(chan followed)
	go func() {
		var f followed
		f.result, _ = NewStore(h.root, nil).Follow(t.Context(), id, 0, func(e Event) error {
			if e.Record != nil {
				f.seqs = append(f.seqs, e.Record.Seq)
			} else if f.progress++; f.progress == 1 {
				close(seen)
			}
			return nil
		})
		done <- f
	}()
	h.during["unit"] = func() { <-seen } // the follower has seen progress of what came before
	want := h.finish(id)
	got := <-done
	if got.result.Outcome != Done || got.result.Changed != want.Changed || got.progress == 0 {
		t.Errorf("%+v", got)
	}
	if n := len(h.records(id)); len(got.seqs) != n || got.seqs[0] != 1 || !slices.IsSorted(got.seqs) {
		t.Error(got.seqs, n)
	}
}

func TestAFollowerOfAFinishedTransactionGoesOnWhereItWas(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	h.finish(id)
	seqs, _, result := h.follow(id, 10)
	if !slices.Equal(seqs, []int64{10, 11}) || result.Outcome != Done {
		t.Error(seqs, result)
	}
}

func TestAFollowerIsToldOfWaiting(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	h.reboot()
	h.finish(id)
	if _, _, result := h.follow(id, 0); result.Outcome != Waiting || result.Err() == nil {
		t.Errorf("%+v", result)
	}
}

func TestAFollowerIsToldThatNothingRunsIt(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	h.during["packages"] = func() { h.crashAt = h.moment + 1 }
	h.execute(id)
	f := follower{store: h.store(), id: id, event: func(Event) error { return nil }, tail: journal.Tail{Path: h.store().journalFile(id)}}
	var result *Result
	for range followGrace + 1 {
		var err error
		if result, err = f.look(); err != nil {
			t.Fatal(err)
		}
	}
	if result == nil || result.Outcome != Interrupted || result.Step != "packages" {
		t.Errorf("%+v", result)
	}
}

func TestAFollowerEndsWithItsListenerAndItsContext(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.store().Follow(ctx, id, 0, func(Event) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	h.finish(id)
	gone := errors.New("the controller has left")
	if _, err := h.store().Follow(t.Context(), id, 0, func(Event) error { return gone }); !errors.Is(err, gone) {
		t.Error(err)
	}
}

// Whoever follows tells steps apart by their kinds, which the records carry; those of a
// journal that was written before they did are told by the request.
func TestAFollowerIsToldTheKindOfEveryStep(t *testing.T) {
	for name, write := range map[string]func(h *fakeHost, id string){
		"as it is written now": func(h *fakeHost, id string) {
			h.finish(id)
			for _, r := range h.records(id) {
				if (r.StepKind == "set") != (r.Step != "") {
					h.t.Errorf("on the disk %s %q is of kind %q", r.Kind, r.Step, r.StepKind)
				}
			}
		},
		"as it was written before": func(h *fakeHost, id string) {
			w, _, _, err := journal.Open(h.store().journalFile(id), h.now)
			if err != nil {
				h.t.Fatal(err)
			}
			defer w.Close()
			for _, r := range []struct {
				kind journal.Kind
				step string
			}{{journal.Begin, ""}, {journal.Apply, "container"}, {journal.Applied, "container"}, {journal.End, ""}} {
				if _, err := w.Append(r.kind, r.step, Result{Outcome: Done}); err != nil {
					h.t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			request, secrets := install(t)
			id := h.create(request, secrets)
			write(h, id)
			of := map[string]step.KindName{}
			_, err := h.store().Follow(t.Context(), id, 0, func(e Event) error {
				if e.Record != nil {
					of[e.Record.Step] = e.Record.StepKind
				}
				return nil
			})
			if err != nil || of["container"] != "set" || of[""] != "" {
				t.Errorf("%q, %v", of, err)
			}
		})
	}
}
