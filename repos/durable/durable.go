// Package durable replaces files so that a reader, or a machine that lost its power,
// finds the old content or the new one and never a piece of either. It does not lock:
// who may write at the same time is the caller's business. Everything that must be on the
// disk goes through Files, so that tests can put a disk under it that fails (Mount).
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile makes path hold exactly data with the given mode. The content is written
// beside path, fsynced, renamed over it, and the folder is fsynced (rename(2) alone
// does not survive a power cut). The folder must exist.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return write(below(path), path, content(data), func(f File) error { return f.Chmod(mode) }, nil)
}

// WriteFrom is WriteFile of what fill writes, for what is too large to be held. Where fill
// fails path stays what it was.
func WriteFrom(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	return write(below(path), path, fill, func(f File) error { return f.Chmod(mode) }, nil)
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

func (o Owner) give(f File) error { return errors.Join(f.Chown(o.UID, o.GID), f.Chmod(o.Mode)) }

// write writes beside path and renames, unless check, where there is one, refuses what is then
// on the disk under a temporary name.
func write(disk Files, path string, from func(io.Writer) error, own func(File) error, check func(temporary string) error) error {
	dir := filepath.Dir(path)
	f, err := disk.CreateTemp(dir, "."+filepath.Base(path)+".*.new")
	if err != nil {
		return fmt.Errorf("making a temporary file for %s: %w", path, err)
	}
	err = fill(f, from, own)
	if err == nil && check != nil {
		err = check(filepath.Join(dir, filepath.Base(f.Name())))
	}
	if err == nil {
		err = disk.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, disk.Remove(f.Name())))
	}
	return syncDir(disk, dir)
}

func fill(f File, from func(io.Writer) error, own func(File) error) error {
	err := own(f)
	if err == nil {
		err = from(f)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Remove takes a file, a link or an empty folder away for good, if it is there.
func Remove(path string) error { return remove(below(path), path) }

func remove(disk Files, path string) error {
	err := disk.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return syncDir(disk, filepath.Dir(path))
}

// RemoveAll takes a folder away with all that is in it, if it is there. A power cut may bring
// back some of it.
func RemoveAll(path string) error {
	if err := below(path).RemoveAll(path); err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

// Rename gives a file or a folder another name, for good. Both are in the same file system,
// and what the folder holds is on the disk already.
func Rename(from, to string) error {
	if err := below(to).Rename(from, to); err != nil {
		return fmt.Errorf("renaming %s: %w", from, err)
	}
	if err := SyncDir(filepath.Dir(to)); err != nil || filepath.Dir(from) == filepath.Dir(to) {
		return err
	}
	return SyncDir(filepath.Dir(from))
}

// Symlink makes a link, in the place of a file or link that is there, for good.
func Symlink(target, path string) error { return symlink(below(path), target, path) }

func symlink(disk Files, target, path string) error {
	if err := disk.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("making the link %s: %w", path, err)
	}
	if err := disk.Symlink(target, path); err != nil {
		return fmt.Errorf("making the link: %w", err)
	}
	return syncDir(disk, filepath.Dir(path))
}

// IsThere says whether there is a file, a link or a folder of that name, for good: one that a
// program had made which was killed before it could sync its name would be gone after a power cut.
func IsThere(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for %s: %w", path, err)
	}
	return true, SyncDir(filepath.Dir(path))
}

// MkdirAll makes a folder and those above it that are missing, for good. One that is there is so
// for good then, as with IsThere.
func MkdirAll(path string, mode fs.FileMode) error {
	disk := below(path)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return SyncDir(filepath.Dir(path))
	}
	if parent := filepath.Dir(path); parent != path {
		if err := MkdirAll(parent, mode); err != nil {
			return err
		}
	}
	if err := disk.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the folder: %w", err)
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes names that were made, renamed or removed in a folder durable (fsync(2)).
func SyncDir(dir string) error { return syncDir(below(dir), dir) }

func syncDir(disk Files, dir string) error {
	if err := disk.SyncDir(dir); err != nil {
		return fmt.Errorf("syncing the folder %s: %w", dir, err)
	}
	return nil
}
