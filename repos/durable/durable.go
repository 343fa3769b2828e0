// Package durable replaces files so that a reader, or a machine that lost its power,
// finds the old content or the new one and never a piece of either. It does not lock:
// who may write at the same time is the caller's business.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// WriteFile makes path hold exactly data with the given mode. The content is written
// beside path, fsynced, renamed over it, and the folder is fsynced (rename(2) alone
// does not survive a power cut). The folder must exist.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return write(path, content(data), func(f *os.File) error { return f.Chmod(mode) })
}

// WriteFrom is WriteFile of what fill writes, for what is too large to be held. Where fill
// fails path stays what it was.
func WriteFrom(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	return write(path, fill, func(f *os.File) error { return f.Chmod(mode) })
}

func content(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// Owner is who may do what with a file.
type Owner struct {
	Mode     fs.FileMode
	UID, GID int
}

// WriteFileAs is WriteFile of a file that is o's before it has its name, so that a secret
// is never open to others even for a moment.
func WriteFileAs(path string, data []byte, o Owner) error {
	return write(path, content(data), func(f *os.File) error { return errors.Join(f.Chown(o.UID, o.GID), f.Chmod(o.Mode)) })
}

func write(path string, from func(io.Writer) error, own func(*os.File) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.new")
	if err != nil {
		return fmt.Errorf("making a temporary file for %s: %w", path, err)
	}
	err = fill(f, from, own)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("syncing the folder of %s: %w", path, err)
	}
	return nil
}

func fill(f *os.File, from func(io.Writer) error, own func(*os.File) error) error {
	err := own(f)
	if err == nil {
		err = from(f)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes a rename in dir durable (fsync(2) on the folder). Windows has no such
// call; there the file system journals its folders.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
