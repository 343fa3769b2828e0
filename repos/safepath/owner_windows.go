package safepath

import "io/fs"

// OwnerOf knows no owners: Windows is only ever a controller.
func OwnerOf(fs.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }
