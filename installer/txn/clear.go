package txn

import (
	"ipivs.com/valtctl/repos/durable"
)

// KeptTransactions is how many transactions that are over a host keeps the records of, besides
// the one that says what it is: some years of weekly updates, each fetched ahead of time.
const KeptTransactions = 400

// clear removes what no longer tells anything, oldest first: records beyond KeptTransactions,
// and what was kept for ways back that nobody can go any more. It is tidying: what cannot be
// removed now goes the next time.
func (s *Store) clear(all []Summary) {
	current := Current(all)
	for i, t := range all { // newest first
		if !t.State.Finished() {
			continue
		}
		s.summaryOnce(t.ID)
		// What a quarantined one kept is of use to a repair, and to nobody after it.
		led := current != nil && current.ID != t.ID && current.State == StateDone
		if t.State != StateQuarantined && t.State != StateDamaged || led {
			_ = s.forgetKept(t.ID)
		}
		if i >= s.keep && (current == nil || t.ID != current.ID) {
			_ = durable.RemoveAll(s.folder(t.ID))
		}
	}
}

// summaryOnce keeps the summary of one that was killed before it could, or that is of an older
// program.
func (s *Store) summaryOnce(id string) {
	if s.readSummary(id) == nil {
		s.keepSummary(id)
	}
}
