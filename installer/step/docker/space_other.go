//go:build !linux

package docker

import "errors"

// freeSpace is asked on hosts alone, which are Linux.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
