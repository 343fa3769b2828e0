package apt

import (
	"errors"
	"io/fs"
)

// A controller on Windows plans steps and never applies them.

func inode(fs.FileInfo) any { return nil }

func lockedBy(string) (pid int32, locked bool, err error) {
	return 0, false, errors.ErrUnsupported
}
