package files

import (
	"io"

	"github.com/moby/sys/mountinfo"
)

// mountsAt lists the options of what is mounted at path, the topmost last
// (proc_pid_mountinfo(5)).
func mountsAt(table io.Reader, path string) ([]string, error) {
	mounts, err := mountinfo.GetMountsFromReader(table, mountinfo.SingleEntryFilter(path))
	if err != nil {
		return nil, err
	}
	options := make([]string, len(mounts))
	for i, m := range mounts {
		options[i] = m.Options
	}
	return options, nil
}
