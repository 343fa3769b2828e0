package durabletest

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

type file struct {
	*os.File
	disk *Disk
	ino  *ino
	path string
}

// take says how much of n bytes there is room for.
func (d *Disk) take(n int) (int, error) {
	if d.room < 0 {
		return n, nil
	}
	fits := min(int64(n), d.room)
	d.room -= fits
	if int(fits) < n {
		return int(fits), syscall.ENOSPC
	}
	return n, nil
}

// give gives back the room of a file that goes.
func (d *Disk) give(path string) {
	if info, err := os.Lstat(path); err == nil && d.room >= 0 && info.Mode().IsRegular() {
		d.room += info.Size()
	}
}

func (f *file) write(p []byte, how func([]byte) (int, error)) (int, error) {
	if err := f.disk.call("write", f.path); err != nil {
		return 0, err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	fits, full := f.disk.take(len(p))
	f.ino.dirty = true
	n, err := how(p[:fits])
	if err == nil && full != nil {
		err = &fs.PathError{Op: "write", Path: f.path, Err: full}
	}
	return n, err
}

func (f *file) Write(p []byte) (int, error) { return f.write(p, f.File.Write) }

func (f *file) WriteAt(p []byte, at int64) (int, error) {
	return f.write(p, func(p []byte) (int, error) { return f.File.WriteAt(p, at) })
}

func (f *file) Truncate(size int64) error {
	if err := f.disk.call("truncate", f.path); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.ino.dirty = true
	return f.File.Truncate(size)
}

func (f *file) Chmod(mode fs.FileMode) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.ino.mode = mode
	return f.File.Chmod(mode)
}

// Sync makes the content durable, and no name.
func (f *file) Sync() error {
	if err := f.disk.call("sync", f.path); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	content, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return err
	}
	f.ino.synced, f.ino.dirty = content, false
	return nil
}
