package txn

import (
	"io/fs"
	"path/filepath"
	"testing"

	"ipivs.com/valtctl/installer/step"
)

// Five years of weekly updates, each fetched ahead of time: what a host keeps, and what it
// reads before the next one, grows no more once it has reached what is kept.
func TestFiveYearsOfUpdatesPileUpNothing(t *testing.T) {
	h, r, secrets := update(t)
	stage := r
	stage.Confirm, stage.Stage = "", true
	stage.Steps = stage.Steps[:2]
	var bytes, files []int64
	for week := range 5 * 52 {
		value := "even"
		if week%2 == 1 {
			value = "odd"
		}
		for _, one := range []Request{stage, r} {
			for i := range one.Steps {
				if one.Steps[i].Half == step.Apply {
					one.Steps[i].Params = spec(t, step.Apply, setParams{Key: one.Steps[i].ID, Value: value}).Params
				}
			}
			id, err := h.fewStore().Create(one, secrets, h.kinds())
			if err != nil {
				t.Fatal(err)
			}
			h.confirmWhenAsked(id)
			if result, err := h.store().Execute(t.Context(), id, h.machine(), h.kinds()); err != nil || result.Outcome != Done {
				t.Fatalf("week %d: %+v, %v", week, result, err)
			}
		}
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

func (h *fakeHost) fewStore() *Store {
	s := h.store()
	s.keep = few
	return s
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
