package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Folder is a folder that is open: what is written in it is in it, wherever its name, or one
// above it, leads meanwhile. The names that its methods take are single ones.
type Folder struct {
	files Files
	path  string
}

// In is the folder that root has open. Path is what it is called: in errors, and for a file
// system that a test has put there (Mount).
func In(root *os.Root, path string) Folder {
	files := below(path)
	if files == Local {
		files = rooted{root}
	}
	return Folder{files, path}
}

func (f Folder) at(name string) string { return filepath.Join(f.path, name) }

// WriteFileAs is what WriteFile does, in the folder, of a file that is o's before it has its name, so that a secret
// is never open to others even for a moment. Check, where there is one, is given the
// path of the temporary file once all of it is on the disk: what it refuses does not count.
func (f Folder) WriteFileAs(name string, data []byte, o Owner, check func(temporary string) error) error {
	return write(f.files, f.at(name), content(data), o.give, check)
}

// Mkdir makes a folder in it, for good. One that is there is an error.
func (f Folder) Mkdir(name string, mode fs.FileMode) error {
	if err := f.files.Mkdir(f.at(name), mode); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	return f.Sync()
}

// Remove takes a file, a link or an empty folder away for good, if it is there.
func (f Folder) Remove(name string) error { return remove(f.files, f.at(name)) }

// RemoveAll takes away what is called so, with all that is in it, if it is there. No link is
// followed. A power cut may bring back some of it.
func (f Folder) RemoveAll(name string) error {
	if err := f.files.RemoveAll(f.at(name)); err != nil {
		return fmt.Errorf("removing %s: %w", f.at(name), err)
	}
	return nil
}

// Symlink makes a link, in the place of a file or link that is there, for good.
func (f Folder) Symlink(target, name string) error { return symlink(f.files, target, f.at(name)) }

// Sync makes the names in it durable.
func (f Folder) Sync() error { return syncDir(f.files, f.path) }

// rooted are the files of one open folder. Of a path its last name counts.
type rooted struct{ root *os.Root }

// guesses is how many names a temporary file is tried under: each is one of 2^128.
const guesses = 3

func (r rooted) OpenFile(path string, flag int, mode fs.FileMode) (File, error) {
	f, err := r.root.OpenFile(filepath.Base(path), flag, mode)
	if err != nil {
		return nil, err // no File that is a nil *os.File
	}
	return f, nil
}

func (r rooted) CreateTemp(_, pattern string) (f File, err error) {
	before, after, _ := strings.Cut(pattern, "*")
	for range guesses {
		f, err = r.OpenFile(before+rand.Text()+after, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return f, err
}

func (r rooted) Mkdir(path string, mode fs.FileMode) error {
	return r.root.Mkdir(filepath.Base(path), mode)
}

func (r rooted) Symlink(target, path string) error {
	return r.root.Symlink(target, filepath.Base(path))
}

func (r rooted) Rename(from, to string) error {
	return r.root.Rename(filepath.Base(from), filepath.Base(to))
}

func (r rooted) Remove(path string) error    { return r.root.Remove(filepath.Base(path)) }
func (r rooted) RemoveAll(path string) error { return r.root.RemoveAll(filepath.Base(path)) }

// SyncDir syncs the folder itself; on Windows there is nothing to call, as with Local.
func (r rooted) SyncDir(string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := r.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
