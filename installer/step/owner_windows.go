package step

import "io/fs"

// ownerOf knows no owners: Windows is only ever a controller.
func ownerOf(fs.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }
