//go:build !windows

package journal

import (
	"errors"
	"syscall"
)

// lock takes the file's lock (flock(2)) for as long as it is open, or says that
// another process has it. A child process does not inherit it: Go opens files with
// O_CLOEXEC.
func lock(f descriptor) (held bool, err error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, err
		}
	}
}
