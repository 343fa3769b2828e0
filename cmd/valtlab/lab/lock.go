package lab

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lock keeps two commands from changing the lab at a time. The lock ends with the
// process, so a killed one leaves none.
func (l *Lab) lock() (unlock func(), err error) {
	if err := os.MkdirAll(l.options.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	file, err := os.OpenFile(l.Path("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the lab: %w", err)
	}
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		l.Note("lab", "another valtlab is changing this lab: waiting for it")
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
			_ = file.Close() // the error that matters is the lock's
			return nil, fmt.Errorf("locking the lab: %w", err)
		}
	}
	return func() { _ = file.Close() }, nil // closing gives the lock back and cannot lose anything
}
