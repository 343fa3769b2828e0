package lab

import (
	"fmt"
	"os"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// ownCgroup2 is where the lab mounts control groups of the second version on a machine that has none mounted.
const ownCgroup2 = "/run/valtlab-cgroup2"

// unifiedTree is this machine's tree of control groups of the second version, for a host whose systemd knows no
// other; empty for those that take what they find. A kernel has one such tree, wherever it is mounted.
func unifiedTree(h Host) (string, error) {
	if !h.release().Unified {
		return "", nil
	}
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2"))
	if err != nil {
		return "", fmt.Errorf("looking for control groups of the second version: %w", err)
	}
	for _, m := range mounts {
		if m.Root == "/" {
			return m.Mountpoint, nil
		}
	}
	if err := os.MkdirAll(ownCgroup2, 0o755); err != nil {
		return "", fmt.Errorf("mounting control groups of the second version: %w", err)
	}
	if err := unix.Mount("none", ownCgroup2, "cgroup2", 0, ""); err != nil {
		return "", fmt.Errorf("mounting control groups of the second version, which Ubuntu %s needs: %w", h.Ubuntu, err)
	}
	return ownCgroup2, nil
}
