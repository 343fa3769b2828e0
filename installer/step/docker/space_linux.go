package docker

import "syscall"

// freeSpace is how many bytes an ordinary user may still write below path (statfs(2)).
func freeSpace(path string) (int64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return 0, err
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}
