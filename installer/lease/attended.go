package lease

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// maxAttended is for how many seconds a person's run may keep out the key of unattended runs
// without saying so again.
const maxAttended = 15 * 60

// Attended is how long a person's run keeps the key of unattended runs out where it does not say
// so again.
const Attended = maxAttended * time.Second

// attended is a person's run that changes the site, as it has told this host. It is kept in memory:
// a reboot forgets it, and the run tells it again.
type attended struct {
	Who    string        `json:"who"`
	Run    string        `json:"run"`
	Token  int64         `json:"token"`
	BootID string        `json:"boot_id"`
	Until  time.Duration `json:"until_ns"` // in that boot
}

func (s *Store) attendedFile() string { return filepath.Join(s.Memory, "attended.json") }

// attend notes that a person's run changes the site for so many seconds. That the key itself says
// so counts for nothing.
func (s *Store) attend(r agent.LeaseRequest) error {
	if s.Key || r.Seconds < 1 {
		return nil
	}
	id, up, err := s.Boot()
	if err != nil {
		return fmt.Errorf("reading the boot clock: %w", err)
	}
	if err := durable.MkdirAll(s.Memory, 0o755); err != nil {
		return fmt.Errorf("noting whose run changes this host: %w", err)
	}
	until := up + time.Duration(min(r.Seconds, maxAttended))*time.Second
	return replace(s.attendedFile(), attended{Who: r.Who, Run: r.Run, Token: r.Token, BootID: id, Until: until})
}

// leave notes that a person's run has ended. What cannot be removed ends by itself.
func (s *Store) leave(token int64) {
	var a attended
	if err := read(s.attendedFile(), &a); !s.Key && err == nil && a.Token == token {
		_ = os.Remove(s.attendedFile())
	}
}

// keptOut is why the key of unattended runs may change nothing now; nil: it may, or who asks has
// another.
func (s *Store) keptOut() error {
	if !s.Key {
		return nil
	}
	var a attended
	if err := read(s.attendedFile(), &a); err != nil {
		return err
	}
	id, up, err := s.Boot()
	if err != nil {
		return fmt.Errorf("reading the boot clock: %w", err)
	}
	if a.BootID != id || a.Until <= up {
		return nil
	}
	what := "changes the site with run " + a.Run
	if a.Run == "" {
		what = "has broken the site's lock"
	}
	return &problem.Error{Kind: problem.Locked, Doing: "changing this host",
		Err: fmt.Errorf("%s %s, which keeps the key of unattended runs out for another %s at most", a.Who, what, (a.Until - up).Round(time.Second)),
		Fix: "wait until that has ended; see valtctl lock show"}
}
