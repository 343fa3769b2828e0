package probe

import "golang.org/x/sys/windows"

// The system's own numbers for why a connection does not come about (Windows Sockets
// error codes). syscall's constants of the Unix names are made up there.
const (
	errRefused      = windows.WSAECONNREFUSED
	errReset        = windows.WSAECONNRESET
	errNoNetwork    = windows.WSAENETUNREACH
	errNoHost       = windows.WSAEHOSTUNREACH
	errNotPermitted = windows.WSAEACCES
	errAccess       = windows.WSAEACCES
	errBlackhole    = windows.WSAEADDRNOTAVAIL
	errNoProtocol   = windows.WSAENOPROTOOPT
)
