package journal

import (
	"errors"

	"golang.org/x/sys/windows"
)

// lockedByte lies far behind any journal's end: Windows' locks forbid reading what they
// cover, and a journal is read while it is written.
const lockedByte = 1 << 30

// lock takes the file's lock (LockFileEx) for as long as it is open, or says that
// another process has it.
func lock(f descriptor) (held bool, err error) {
	at := windows.Overlapped{OffsetHigh: lockedByte}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}
