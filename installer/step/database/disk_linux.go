package database

import (
	"fmt"
	"os"
	"syscall"

	"github.com/moby/sys/mountinfo"
)

// isMount says whether a folder is where something is mounted (proc_pid_mountinfo(5)).
func isMount(folder string) (bool, error) { return mountinfo.Mounted(folder) }

// diskOf is the file system of a folder (statfs(2), stat(2)).
func diskOf(folder string) (disk, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(folder, &fs); err != nil {
		return disk{}, fmt.Errorf("looking what is free at %s: %w", folder, err)
	}
	info, err := os.Stat(folder)
	if err != nil {
		return disk{}, fmt.Errorf("looking what is free at %s: %w", folder, err)
	}
	d := disk{free: int64(fs.Bavail) * fs.Bsize}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		d.at = s.Dev
	}
	return d, nil
}
