//go:build !linux

package facts

import (
	"context"
	"errors"
)

// Hosts run Linux; a controller elsewhere only has to build.
var errNotLinux = errors.New("reading the host's facts: this is not Linux")

type filesystemsReply struct {
	all []Filesystem
	err error
}

func (h *host) filesystems(context.Context) filesystemsReply {
	return filesystemsReply{err: errNotLinux}
}

func (h *host) synchronized() bool { return false }
