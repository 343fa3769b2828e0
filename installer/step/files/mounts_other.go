//go:build !linux

package files

import (
	"errors"
	"io"
)

// mountsAt is asked on hosts alone, which are Linux.
func mountsAt(io.Reader, string) ([]string, error) { return nil, errors.ErrUnsupported }
