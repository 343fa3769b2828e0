package txn

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/step"
)

// progressEvery is the least time between two writes of a step's progress.
const progressEvery = 50 * time.Millisecond

// latest is the content of a transaction's progress file: the last Progress, numbered so
// that a follower sees when it is another one.
type latest struct {
	N        int64         `json:"n"`
	Progress step.Progress `json:"progress"`
}

func (s *Store) progressFile(id string) string { return filepath.Join(s.runDir(id), "progress.json") }

// keepProgress is what steps report to: the last word is kept in a file in memory. It is
// lost with a reboot and when it cannot be written, which harms nothing.
func (s *Store) keepProgress(id string) func(step.Progress) {
	var mu sync.Mutex
	var n int64
	var last time.Time
	return func(p step.Progress) {
		mu.Lock()
		defer mu.Unlock()
		at := s.now()
		if since := at.Sub(last); since >= 0 && since < progressEvery && p.Done != p.Total {
			return
		}
		last, n = at, n+1
		content, err := json.Marshal(latest{n, p})
		if err != nil {
			return
		}
		pending := s.progressFile(id) + ".new"
		if os.WriteFile(pending, content, 0o600) == nil {
			_ = os.Rename(pending, s.progressFile(id))
		}
	}
}

// readProgress is the last progress; N is 0 where there is none.
func (s *Store) readProgress(id string) latest {
	var l latest
	content, err := os.ReadFile(s.progressFile(id))
	if err != nil || json.Unmarshal(content, &l) != nil {
		return latest{}
	}
	return l
}
