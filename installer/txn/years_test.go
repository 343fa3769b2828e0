package txn

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"

	"ipivs.com/valtctl/installer/step"
)

// aged is a host that lives week by week.
type aged struct {
	*fakeHost
	update  Request
	secrets map[string][]byte
	weeks   int
	keep    int // transactions; 0: as many as a host does
}

func newAged(t testing.TB, keep int) *aged {
	h, r, secrets := update(t)
	return &aged{fakeHost: h, update: r, secrets: secrets, keep: keep}
}

// week is an update, fetched ahead of time.
func (h *aged) week() {
	h.t.Helper()
	value := "even"
	if h.weeks++; h.weeks%2 == 0 {
		value = "odd"
	}
	stage := h.update
	stage.Confirm, stage.Stage = "", true
	stage.Steps = stage.Steps[:2]
	for _, one := range []Request{stage, h.update} {
		for i := range one.Steps {
			if one.Steps[i].Half == step.Apply {
				one.Steps[i].Params = spec(h.t, step.Apply, setParams{Key: one.Steps[i].ID, Value: value}).Params
			}
		}
		s := h.store()
		if h.keep > 0 {
			s.keep = h.keep
		}
		id, err := s.Create(one, h.secrets, h.kinds())
		if err != nil {
			h.t.Fatal(err)
		}
		h.confirmWhenAsked(id)
		if result, err := h.store().Execute(h.t.Context(), id, h.machine(), h.kinds()); err != nil || result.Outcome != Done {
			h.t.Fatalf("week %d: %+v, %v", h.weeks, result, err)
		}
	}
}

// Five years of weekly updates, each fetched ahead of time: what a host keeps, and what it
// reads before the next one, grows no more once it has reached what is kept.
func TestFiveYearsOfUpdatesPileUpNothing(t *testing.T) {
	h := newAged(t, few)
	var bytes, files []int64
	for range 5 * 52 {
		h.week()
		b, n := h.kept()
		bytes, files = append(bytes, b), append(files, n)
	}
	last := len(bytes) - 1
	full := few / 2 // weeks until there are as many as are kept
	if grown := float64(bytes[last]) / float64(bytes[full]); grown > 1.02 || files[last] > files[full]+8 {
		t.Errorf("after %d weeks %d bytes in %d files are kept, after five years %d in %d", full, bytes[full], files[full], bytes[last], files[last])
	}
	t.Logf("kept after five years: %d bytes in %d files", bytes[last], files[last])
	read := 0
	reads := func(id string) (Summary, error) {
		if h.store().readSummary(id) == nil {
			read++
		}
		return h.store().Summary(id)
	}
	if _, err := h.store().list(0, reads); err != nil || read > 0 {
		t.Errorf("%d journals are read before the next update, %v", read, err)
	}
}

// few is how many transactions are kept here: fewer than on a host, since what five years come to
// is the same with any number, and the time of a test is not.
const few = 60

// BenchmarkHostOfYears is how long a host takes to say what it is, and for its next update, by
// how many years of weekly updates it has behind it: as many transactions as a host keeps are
// there after four.
func BenchmarkHostOfYears(b *testing.B) {
	h := newAged(b, 0)
	for _, years := range []int{1, 5, 10} {
		for h.weeks < years*52 {
			h.week()
		}
		b.Run(fmt.Sprintf("status/years=%d", years), func(b *testing.B) {
			for b.Loop() {
				if _, err := h.store().Recent(10); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("update/years=%d", years), func(b *testing.B) {
			for b.Loop() {
				h.week()
			}
		})
	}
}

// kept is how much is on the host's disk.
func (h *fakeHost) kept() (bytes, files int64) {
	h.t.Helper()
	err := filepath.WalkDir(filepath.Join(h.root, "var"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		bytes, files = bytes+info.Size(), files+1
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return bytes, files
}
