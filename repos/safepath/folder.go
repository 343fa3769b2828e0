package safepath

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// Folder is a folder that is open. It stays the same one whatever becomes of its path. Names that
// its methods take are single ones, and no link is followed by any of them.
type Folder struct {
	root   *os.Root
	tree   Tree
	path   string // for this process, without links
	shared bool   // others than root may change it, or a folder above it
}

func (f *Folder) at(name string) string { return path.Join(f.path, name) }

func (f *Folder) files() durable.Folder { return durable.In(f.root, f.path) }

// Close lets go of it.
func (f *Folder) Close() error { return f.root.Close() }

// Enter opens a folder in it. A link is ErrPlanted, whoever made it.
func (f *Folder) Enter(name string) (*Folder, error) {
	info, err := f.Lstat(name)
	if err != nil {
		return nil, err
	}
	return f.enter(name, info)
}

// enter opens the folder that info is of.
func (f *Folder) enter(name string, info fs.FileInfo) (*Folder, error) {
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil, planted(f.at(name), nil)
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "opening", Path: f.at(name), Err: syscall.ENOTDIR}
	}
	// The dot has anything but a folder refused without opening it: a pipe would be waited for.
	root, err := f.root.OpenRoot(name + "/.")
	if err != nil {
		return nil, f.swapped(name, err)
	}
	now, err := root.Stat(".")
	if err != nil || !os.SameFile(info, now) {
		return nil, f.swapped(name, errors.Join(err, root.Close()))
	}
	return &Folder{root, f.tree, f.at(name), f.shared || f.tree.othersMayChange(now)}, nil
}

// swapped is the error for what is not what it was a moment ago.
func (f *Folder) swapped(name string, err error) error {
	if f.shared {
		return planted(f.at(name), err)
	}
	return fmt.Errorf("opening %s: it was replaced meanwhile (%w)", f.at(name), err)
}

func planted(at string, err error) error {
	return &problem.Error{Kind: problem.Check, Doing: "looking at", Object: at, Err: errors.Join(ErrPlanted, err),
		Fix: "put a plain file or folder in its place, and see who made it what it is"}
}

// Lstat is what a name is.
func (f *Folder) Lstat(name string) (fs.FileInfo, error) {
	info, err := f.root.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", f.at(name), err)
	}
	return info, nil
}

// Readlink is where a link leads.
func (f *Folder) Readlink(name string) (string, error) {
	target, err := f.root.Readlink(name)
	if err != nil {
		return "", fmt.Errorf("reading the link %s: %w", f.at(name), err)
	}
	return target, nil
}

// replacedMeanwhile is how often a file that is replaced just then is opened anew: whoever owns a folder
// may write to it as we do.
const replacedMeanwhile = 20

// Open opens a plain file, and tells what it is.
func (f *Folder) Open(name string) (*os.File, fs.FileInfo, error) {
	for range replacedMeanwhile {
		info, err := f.Lstat(name)
		if err != nil {
			return nil, nil, err
		}
		if info.IsDir() {
			return nil, nil, &fs.PathError{Op: "opening", Path: f.at(name), Err: syscall.EISDIR}
		}
		if !info.Mode().IsRegular() {
			return nil, nil, planted(f.at(name), nil)
		}
		file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // what is a pipe by now is not waited for
		if err != nil {
			return nil, nil, f.swapped(name, err)
		}
		now, err := file.Stat()
		if err == nil && os.SameFile(info, now) {
			return file, now, nil
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, nil, fmt.Errorf("opening %s: %w", f.at(name), err)
		}
	}
	return nil, nil, planted(f.at(name), nil)
}

// ReadFile reads a plain file of at most so many bytes, and tells what it is.
func (f *Folder) ReadFile(name string, most int64) ([]byte, fs.FileInfo, error) {
	file, info, err := f.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	if info.Size() > most {
		return nil, nil, fmt.Errorf("reading %s: %w: at most %d bytes are read", f.at(name), ErrTooLarge, most)
	}
	content, err := io.ReadAll(io.LimitReader(file, most+1)) // it may grow meanwhile
	if err == nil && int64(len(content)) > most {
		err = ErrTooLarge
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", f.at(name), err)
	}
	return content, info, nil
}

// WriteFile replaces a file, for good, as durable.Folder does. Check, where there is one, is given the
// path of the temporary file before it has its name: what it refuses does not count.
func (f *Folder) WriteFile(name string, data []byte, o durable.Owner, check func(temporary string) error) error {
	return f.files().WriteFileAs(name, data, o, check)
}

// Mkdir makes a folder in it, for good. One that is there is an error.
func (f *Folder) Mkdir(name string, mode fs.FileMode) error { return f.files().Mkdir(name, mode) }

// Remove takes a file, a link or an empty folder away for good, if it is there.
func (f *Folder) Remove(name string) error { return f.files().Remove(name) }

// RemoveAll takes away what is called so, with all that is in it, if it is there.
func (f *Folder) RemoveAll(name string) error { return f.files().RemoveAll(name) }

// Symlink makes a link, in the place of a file or link that is there, for good.
func (f *Folder) Symlink(target, name string) error { return f.files().Symlink(target, name) }

// Give makes the folder itself an owner's.
func (f *Folder) Give(o durable.Owner) error {
	d, err := f.root.Open(".")
	if err != nil {
		return fmt.Errorf("opening %s: %w", f.path, err)
	}
	// The mode after the owner, whose change may clear bits; and whatever the umask was.
	if err := errors.Join(d.Chown(o.UID, o.GID), d.Chmod(o.Mode), d.Close()); err != nil {
		return fmt.Errorf("giving %s to %d:%d with mode %04o: %w", f.path, o.UID, o.GID, o.Mode.Perm(), err)
	}
	return nil
}

// Handle opens the folder itself, for what is done by its descriptor.
func (f *Folder) Handle() (*os.File, error) { return f.root.Open(".") }
