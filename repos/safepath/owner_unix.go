//go:build unix

package safepath

import (
	"io/fs"
	"syscall"
)

// OwnerOf is who owns a file (stat(2)); ok is false where that is not known.
func OwnerOf(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}
