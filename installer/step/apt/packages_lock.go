package apt

import (
	"context"
	"fmt"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// packageLocks are the locks of apt and dpkg. DPkg::Lock::Timeout makes apt wait for
// the first two only, so waiting is done here for all of them.
func packageLocks() []string {
	return []string{
		"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock",
		"/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock",
	}
}

// lockedMessage is how apt and dpkg say that a lock was taken between our look and
// theirs (apt-pkg/init, apt-pkg/acquire.cc; dpkg's dbmodify.c).
var lockedMessage = regexp.MustCompile(`Could not get lock|Unable to (acquire|lock)|lock was locked by another process|is another process using it`)

// holder is who has one of the locks.
type holder struct {
	lock string
	pid  int32 // 0 or less: a process that this one cannot see
	name string
}

func (l holder) String() string {
	if l.pid <= 0 {
		return "a process that is not visible from here holds " + l.lock
	}
	return fmt.Sprintf("%s (process %d) holds %s", l.name, l.pid, l.lock)
}

// lockHolder asks the kernel who holds a lock (fcntl(2), F_GETLK), without taking it.
func lockHolder(h *step.Machine) (*holder, error) {
	for _, lock := range packageLocks() {
		pid, locked, err := lockedBy(h.Path(lock))
		if err != nil {
			return nil, fmt.Errorf("looking who holds %s: %w", lock, err)
		}
		if locked {
			return &holder{lock, pid, processName(h, pid)}, nil
		}
	}
	return nil, nil
}

// processName is a process's command without its arguments, which may hold secrets.
func processName(h *step.Machine, pid int32) string {
	name, err := os.ReadFile(h.Path(path.Join("/proc", strconv.Itoa(int(pid)), "comm")))
	if err != nil {
		return "a program"
	}
	return strings.TrimSpace(string(name))
}

// awaitLocks waits until nobody holds a lock. The holder is left to its work: killing
// it is how a host gets half an upgrade. What was waited is counted over the whole
// transaction; at its end the holder is named.
func (t *transaction) awaitLocks(ctx context.Context) error {
	for {
		who, err := lockHolder(t.h)
		if err != nil || who == nil {
			return err
		}
		if err := t.pause(ctx, who.String()); err != nil {
			return err
		}
	}
}

// pause waits for one poll interval and says for what.
func (t *transaction) pause(ctx context.Context, why string) error {
	if t.waited >= t.wait.locks {
		return &problem.Error{Doing: "waiting for", Object: "the package manager", Err: fmt.Errorf("after %s %s", t.waited, why),
			Fix: "Let it finish or find out why it does not (it is not ended from here: that would leave half an upgrade), then run valtctl resume."}
	}
	t.h.Report(step.Progress{Text: "waiting: " + why})
	timer := time.NewTimer(t.wait.poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting because %s: %w", why, context.Cause(ctx))
	case <-timer.C:
		t.waited += t.wait.poll
		return nil
	}
}
