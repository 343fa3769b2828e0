package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

// File is an open file as what must survive a power cut uses it. What was written is on the
// disk once Sync has returned nil; the name of a file is once its folder is synced.
type File interface {
	io.Reader
	io.Writer
	WriteAt(p []byte, offset int64) (int, error)
	Truncate(size int64) error
	Chmod(mode fs.FileMode) error
	Chown(uid, gid int) error
	Sync() error
	Close() error
	Name() string
	Fd() uintptr
}

// Files is a file system as far as something is changed in it. The files of this machine
// are one; tests have one that loses what was not synced, runs full, or fails.
type Files interface {
	OpenFile(path string, flag int, mode fs.FileMode) (File, error)
	CreateTemp(dir, pattern string) (File, error)
	Mkdir(path string, mode fs.FileMode) error
	Symlink(target, path string) error
	Rename(from, to string) error
	Remove(path string) error
	RemoveAll(path string) error
	SyncDir(dir string) error
}

// Local are the files of this machine.
var Local Files = local{}

type local struct{}

func (local) OpenFile(path string, flag int, mode fs.FileMode) (File, error) {
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err // no File that is a nil *os.File
	}
	return f, nil
}

func (local) CreateTemp(dir, pattern string) (File, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (local) Mkdir(path string, mode fs.FileMode) error { return os.Mkdir(path, mode) }
func (local) Symlink(target, path string) error         { return os.Symlink(target, path) }
func (local) Rename(from, to string) error              { return os.Rename(from, to) }
func (local) Remove(path string) error                  { return os.Remove(path) }
func (local) RemoveAll(path string) error               { return os.RemoveAll(path) }

// SyncDir on Windows has nothing to call; there the file system journals its folders.
func (local) SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// mounts are the file systems that tests have put in the place of this machine's, by folder.
// There are none in a program.
var mounts struct {
	any atomic.Bool
	sync.RWMutex
	below map[string]Files
}

// Mount has everything below a folder changed through another file system, until unmount.
// It is for tests, of which several may have one at a time.
func Mount(dir string, files Files) (unmount func()) {
	mounts.Lock()
	defer mounts.Unlock()
	if mounts.below == nil {
		mounts.below = map[string]Files{}
	}
	mounts.below[filepath.Clean(dir)] = files
	mounts.any.Store(true)
	return func() {
		mounts.Lock()
		defer mounts.Unlock()
		delete(mounts.below, filepath.Clean(dir))
		mounts.any.Store(len(mounts.below) > 0)
	}
}

// below is the file system that a path is in.
func below(path string) Files {
	if !mounts.any.Load() {
		return Local
	}
	mounts.RLock()
	defer mounts.RUnlock()
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if files, ok := mounts.below[dir]; ok {
			return files
		}
		if dir == filepath.Dir(dir) || !strings.Contains(dir, string(filepath.Separator)) {
			return Local
		}
	}
}

// OpenFile opens a file as os.OpenFile does. The caller syncs what it writes, and the folder
// of a file that it makes.
func OpenFile(path string, flag int, mode fs.FileMode) (File, error) {
	return below(path).OpenFile(path, flag, mode)
}
