package step

import (
	"io/fs"
	"syscall"
)

// inode is a file's inode number, or nil where the system tells none.
func inode(info fs.FileInfo) any {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return nil
}
