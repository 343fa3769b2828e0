//go:build unix

package apt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// inode is a file's inode number, or nil where the system tells none.
func inode(info fs.FileInfo) any {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return nil
}

// lockedBy says whether a process holds a POSIX lock on a file, and which. A file that
// is not there is not locked.
func lockedBy(file string) (pid int32, locked bool, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("opening a lock: %w", err)
	}
	defer f.Close()
	ask := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &ask); err != nil {
		return 0, false, fmt.Errorf("asking for a lock's holder: %w", err)
	}
	return ask.Pid, ask.Type != unix.F_UNLCK, nil
}
