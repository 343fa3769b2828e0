package check

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Change is a check whose answer is another one than in an earlier report. Was is empty
// for a check that is new, and Is for one that is gone.
type Change struct {
	ID      string `json:"id"`
	Subject string `json:"subject"`
	Was     Status `json:"was,omitempty"`
	Is      Status `json:"is,omitempty"`
	Cause   string `json:"cause,omitempty"` // of what is now
}

// Compare lists what changed since an earlier report: what became worse first. Only
// topics that both reports have are compared.
func Compare(before, now *Report) []Change {
	was := map[string]Result{}
	for _, r := range before.Results {
		if slices.Contains(now.Topics, r.Topic) {
			was[r.ID] = r
		}
	}
	var all []Change
	for _, r := range now.Results {
		if !slices.Contains(before.Topics, r.Topic) {
			continue
		}
		old, known := was[r.ID]
		delete(was, r.ID)
		if !known || old.Status != r.Status || r.Status == Fail && old.Verdict != r.Verdict {
			all = append(all, Change{r.ID, r.Subject, old.Status, r.Status, r.Cause})
		}
	}
	for _, old := range was {
		all = append(all, Change{ID: old.ID, Subject: old.Subject, Was: old.Status})
	}
	slices.SortFunc(all, func(a, b Change) int {
		return cmp.Or(rank(b.Is)-rank(a.Is), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// rank orders answers by how much a person must look at them.
func rank(s Status) int { return slices.Index([]Status{"", Pass, Unknown, Warn, Fail}, s) }

// maxReport caps a saved report, in bytes: some thousand flows with all their evidence.
const maxReport = 64 << 20

// WriteSaved writes the report for a later comparison.
func WriteSaved(w io.Writer, r *Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("saving the report: %w", err)
	}
	return nil
}

// ReadSaved reads what WriteSaved wrote.
func ReadSaved(from io.Reader) (*Report, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxReport+1))
	if err != nil {
		return nil, fmt.Errorf("reading the saved report: %w", err)
	}
	if len(data) > maxReport {
		return nil, fmt.Errorf("reading the saved report: it has more than %d bytes", maxReport)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("reading the saved report: %w", err)
	}
	if len(r.Topics) == 0 {
		return nil, fmt.Errorf("reading the saved report: it is none of valtctl check --save")
	}
	return &r, nil
}
