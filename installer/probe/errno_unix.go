//go:build !windows

package probe

import "syscall"

// The system's own numbers for why a connection does not come about (ip(7), tcp(7)).
const (
	errRefused      = syscall.ECONNREFUSED
	errReset        = syscall.ECONNRESET
	errNoNetwork    = syscall.ENETUNREACH
	errNoHost       = syscall.EHOSTUNREACH
	errNotPermitted = syscall.EPERM
	errAccess       = syscall.EACCES
	errBlackhole    = syscall.EINVAL // connect(2) to a route of type blackhole
	errNoProtocol   = syscall.ENOPROTOOPT
)
