package lab

import (
	"fmt"
	"os"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Where control groups are: those of the machine, and where the lab mounts those of the second version on a machine
// that has none mounted.
const (
	machineGroups = "/sys/fs/cgroup"
	ownCgroup2    = "/run/valtlab-cgroup2"
)

// groupTree is this machine's tree of control groups of the second version, for a machine of the lab whose systemd
// knows no other, and for all of them where there is no other; empty for those that take what the engine gives
// them. A kernel has one such tree, wherever it is mounted.
func groupTree(unified bool) (string, error) {
	alone, err := isUnified(machineGroups)
	switch {
	case err != nil:
		return "", err
	case alone:
		return machineGroups, nil
	case !unified:
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
		return "", fmt.Errorf("mounting control groups of the second version, which today's Ubuntu needs: %w", err)
	}
	return ownCgroup2, nil
}

// isUnified tells whether control groups of the second version are mounted at a folder (cgroups(7)).
func isUnified(folder string) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return false, fmt.Errorf("looking at the control groups in %s: %w", folder, err)
	}
	return int64(fs.Type) == unix.CGROUP2_SUPER_MAGIC, nil
}
