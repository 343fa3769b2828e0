//go:build unix

package survey

import (
	"errors"

	"golang.org/x/sys/unix"
)

// gone says that a process ended while it was looked at.
func gone(err error) bool { return errors.Is(err, unix.ESRCH) }
