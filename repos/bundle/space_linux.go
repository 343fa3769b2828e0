package bundle

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free is how many bytes an ordinary user may still write in a folder.
func Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("asking %s for its free space: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
