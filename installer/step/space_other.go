//go:build !linux

package step

import "errors"

// freeSpace is asked on hosts alone, which are Linux.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
